"""The sliding-window script of the limits library, which runs in Valkey.

The library calls its script once for each request, and has no way to call it for several.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from limits.aio.storage import RedisStorage
from valkey.commands.core import AsyncScript

__all__ = ["AsyncScript", "replace_window_script"]

type Caller = Callable[[Sequence[str], Sequence[int]], Awaitable[Any]]
"""Calls the script with keys and arguments, and returns its result."""


def replace_window_script(storage: RedisStorage, caller: Callable[[AsyncScript], Caller]) -> None:
    """Make the storage call its script through the callable that `caller` returns for the script.

    The callable may use `registered_client`, `script` and `sha` of the script.
    """
    bridge: Any = storage.bridge  # the library's types do not declare its scripts
    bridge.lua_acquire_sliding_window = caller(bridge.lua_acquire_sliding_window)
