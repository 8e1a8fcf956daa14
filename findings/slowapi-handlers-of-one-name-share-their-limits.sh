#!/usr/bin/env bash
# slowapi 0.1.10: limits are registered under the module and the name of the handler, not under the
# handler. Handlers that a factory makes have one name, so each of them gets the limits of all, and a
# request is counted once for each: with "6/minute" on each handler, two such routes accept three
# requests a minute each, and three routes accept two. The decorator raises no error and logs no
# warning. Setting `__name__` before the decorator is applied keeps them apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    slowapi==0.1.10 limits==5.8.0 fastapi==0.165.0 httpx==0.28.1
cat > "$work/show.py" <<'PY'
import asyncio

import httpx
from fastapi import FastAPI, Request
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded


async def accepted(names, *, renamed):
    limiter = Limiter(key_func=lambda request: "one client")
    app = FastAPI()
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

    def page(name):
        async def show(request: Request):
            return name

        if renamed:
            show.__name__ = f"show_{name}"
        return limiter.limit("6/minute")(show)

    for name in names:
        app.add_api_route(f"/{name}", page(name))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pages") as client:
        counts = []
        for name in names:
            answers = [await client.get(f"/{name}") for _ in range(8)]
            counts.append(sum(answer.status_code == 200 for answer in answers))
        return counts


for names in ("a", "ab", "abc"):
    print(f"{len(names)} handlers of one name: {asyncio.run(accepted(names, renamed=False))}")
print(f"3 handlers of three names: {asyncio.run(accepted('abc', renamed=True))}")
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
1 handlers of one name: [6]
2 handlers of one name: [3, 3]
3 handlers of one name: [2, 2, 2]
3 handlers of three names: [6, 6, 6]
SEEN
