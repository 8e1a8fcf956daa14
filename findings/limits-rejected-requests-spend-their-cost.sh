#!/usr/bin/env bash
# limits 5.8.0, slowapi 0.1.10: with the fixed-window strategy, slowapi's default, a request that is
# rejected spends its cost all the same. With "10/minute", 8 are used and a request of cost 5 is
# rejected: the 2 that were left are gone, and requests of cost 1 are rejected until the window
# ends, although only 8 were ever granted. `test` still promised the 2 before. The moving and the
# sliding window spend nothing on a rejection, so a change of the strategy changes what clients get.
# `hit` is documented as returning whether the cost "could be deducted from the rate limit without
# exceeding it". With costs of 1, nobody notices. `test` before `hit` avoids it, but is a race.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    limits==5.8.0 slowapi==0.1.10 starlette==1.10.0 httpx==0.28.1
cat > "$work/show.py" <<'PY'
import limits
from limits.storage import MemoryStorage
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)
from slowapi import Limiter
from slowapi.util import get_remote_address
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

ten = limits.parse("10/minute")
for strategy in FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter:
    limiter = strategy(MemoryStorage())
    limiter.hit(ten, "user", cost=8)
    two_are_left = limiter.test(ten, "user", cost=2)
    rejected = not limiter.hit(ten, "user", cost=5)
    left = limiter.get_window_stats(ten, "user").remaining
    print(f"{strategy.__name__}: 2 left {two_are_left}, 5 rejected {rejected}, then {left} left,",
          f"1 granted {limiter.hit(ten, 'user')}")

limiter = Limiter(key_func=get_remote_address)


@limiter.limit("10/minute", cost=lambda request: int(request.query_params["rows"]))
async def export(request):
    return PlainTextResponse(request.query_params["rows"])


app = Starlette(routes=[Route("/export", export)])
app.state.limiter = limiter
client = TestClient(app)


def status(rows):
    return client.get("/export", params={"rows": rows}).status_code


print("slowapi:", ", ".join(f"{rows} rows {status(rows)}" for rows in (8, 5, 1, 1)))
PY
"$work/venv/bin/python" -W ignore "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
FixedWindowRateLimiter: 2 left True, 5 rejected True, then 0 left, 1 granted False
MovingWindowRateLimiter: 2 left True, 5 rejected True, then 2 left, 1 granted True
SlidingWindowCounterRateLimiter: 2 left True, 5 rejected True, then 2 left, 1 granted True
slowapi: 8 rows 200, 5 rows 429, 1 rows 429, 1 rows 429
SEEN
