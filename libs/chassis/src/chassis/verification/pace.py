"""A cap on how many rows and messages are read in a second."""

import asyncio


class Pace:
    """Makes its caller wait, so that it reads at most `rate` rows and messages in a second.

    Args:
        rate: how many; what a page has too many is waited for after it.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def read(self, count: int) -> None:
        """Wait until more may be read after these `count`."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + count / self._rate
        await asyncio.sleep(self._free_at - now)
