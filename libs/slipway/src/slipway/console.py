"""What the person at the terminal sees: steps with their time, and sentences in between."""

import contextlib
import time
from collections.abc import Iterator
from typing import Self

from rich.console import Console
from rich.markup import escape


class Reporter:
    """Shows progress: a spinner on a terminal, plain lines elsewhere.

    Args:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status = console.status("")
        self._running: list[str] = []

    @classmethod
    def silent(cls) -> Self:
        """Return a reporter that shows nothing."""
        return cls(Console(quiet=True))

    def say(self, text: str) -> None:
        """Print a sentence; ignore a terminal that has been closed."""
        with contextlib.suppress(OSError):
            self.console.print(escape(text), soft_wrap=True, highlight=False)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show `name` as running until the block ends, then its duration."""
        started = time.monotonic()
        if not self.console.is_terminal:
            self.say(f"   …     {name}")
        self._running.append(name)
        self._refresh()
        try:
            yield
        finally:
            self._running.remove(name)
            self._refresh()
        self.say(f"{time.monotonic() - started:6.1f} s  {name}")

    def _refresh(self) -> None:
        with contextlib.suppress(OSError):
            if self._running and self.console.is_terminal:
                self._status.update(escape(", ".join(self._running)))
                self._status.start()
            else:
                self._status.stop()
