#!/usr/bin/env bash
# strawberry-graphql 0.341.2, graphql-core 3.3.2: DataLoader.load gives all callers of a key the
# same future. asyncio cancels the future that a cancelled task awaits. So a resolver that bounds
# its wait with asyncio.timeout, and handles the TimeoutError, cancels every other resolver that
# waits for the same key. Their CancelledError is no Exception, so it does not become a field error:
# the whole operation raises it, although nothing cancelled the operation. The same query without
# the bounded field succeeds. The guide to DataLoaders does not say so.
# `asyncio.shield(loader.load(key))` keeps the others apart.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    strawberry-graphql==0.341.2 graphql-core==3.3.2
cat > "$work/show.py" <<'PY'
import asyncio

import strawberry
from strawberry.dataloader import DataLoader


async def load(keys):
    await asyncio.sleep(0.3)
    return [f"user {key}" for key in keys]


async def within_limit(awaitable):
    try:
        async with asyncio.timeout(0.05):
            return await awaitable
    except TimeoutError:
        return None


@strawberry.type
class Query:
    @strawberry.field
    async def name(self, info: strawberry.Info) -> str:
        return await info.context.load(1)

    @strawberry.field
    async def badge(self, info: strawberry.Info) -> str | None:
        return await within_limit(info.context.load(1))

    @strawberry.field
    async def shielded_badge(self, info: strawberry.Info) -> str | None:
        return await within_limit(asyncio.shield(info.context.load(1)))


async def main():
    schema = strawberry.Schema(Query)
    for query in ("{ name }", "{ badge }", "{ name badge }", "{ name shieldedBadge }"):
        try:
            result = await schema.execute(query, context_value=DataLoader(load))
        except asyncio.CancelledError:
            cancelled = asyncio.current_task().cancelling()
            print(f"{query}: CancelledError, of a task that was cancelled {cancelled} times")
        else:
            print(f"{query}: {result.data}, errors: {result.errors}")


asyncio.run(main())
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
{ name }: {'name': 'user 1'}, errors: None
{ badge }: {'badge': None}, errors: None
{ name badge }: CancelledError, of a task that was cancelled 0 times
{ name shieldedBadge }: {'name': 'user 1', 'shieldedBadge': None}, errors: None
SEEN
