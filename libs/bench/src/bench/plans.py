"""Programs that carry out a plan: `python -m bench.PROGRAM PLAN RESULT`, two files of JSON."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from pydantic import BaseModel


def carry_out[P: BaseModel](
    plan: type[P], run: Callable[[P], Awaitable[BaseModel]], arguments: Sequence[str]
) -> None:
    """Read a plan, run it, and write its result; `arguments` are the paths of the two files."""
    source, target = map(Path, arguments)

    async def result() -> BaseModel:
        return await run(plan.model_validate_json(source.read_bytes()))

    target.write_text(uvloop.run(result()).model_dump_json())
