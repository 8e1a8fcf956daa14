"""The lowest level that this process logs. It can change for a while, without a restart."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

NAMES = ("DEBUG", "INFO", "WARNING", "ERROR")

log = structlog.get_logger(__name__)

LOGGER: type[Any] = type("Logger", (structlog.BoundLoggerBase,), {})
"""The class of all our loggers. structlog's own classes have their level for ever; this one gets
the methods of another when the level changes. So a line that is not written costs as little as
before, and a cached logger follows too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A level that differs from the setting.

    Attributes:
        level: the level.
        until: when the setting applies again.
    """

    level: str
    until: datetime


class Levels:
    """The level of one process."""

    def __init__(self) -> None:
        self.setting = "INFO"
        """The level of the process's settings."""
        self.number = logging.INFO
        """The level that applies, as a number of the standard library."""
        self.change: Change | None = None
        """The present change; None while the setting applies."""
        self._end: asyncio.TimerHandle | None = None

    @property
    def level(self) -> str:
        """The level that applies."""
        return self.setting if self.change is None else self.change.level

    def configure(self, setting: str) -> None:
        """Apply the level of the settings, which ends a change."""
        self.setting = setting
        self._forget()
        self._apply(setting)

    def change_for(self, level: str, seconds: float) -> Change:
        """Apply a level for so many seconds; must be called in the process's event loop."""
        self._forget()
        self.change = Change(level=level, until=datetime.now(UTC) + timedelta(seconds=seconds))
        self._end = asyncio.get_running_loop().call_later(seconds, self.restore)
        self._apply(level)
        log.warning("log level changed", log_level=level, seconds=seconds)
        return self.change

    def restore(self) -> None:
        """Apply the level of the settings again."""
        if self.change is None:
            return
        self.configure(self.setting)
        log.warning("log level restored", log_level=self.setting)

    def _forget(self) -> None:
        self.change = None
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _apply(self, level: str) -> None:
        self.number = logging.getLevelNamesMapping()[level]
        methods = vars(structlog.make_filtering_bound_logger(self.number))
        for name, method in methods.items():
            if not name.startswith("__"):
                setattr(LOGGER, name, method)
        logging.getLogger().setLevel(level)


LEVELS = Levels()
"""Logging is one for the whole process, in structlog and in the standard library alike."""
