"""The arguments of a job: a Pydantic model for each kind, which names the kind and its queue."""

import re
from enum import IntEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

DEFAULT_QUEUE = "default"
_KIND = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)*\.v[1-9]\d*")
_QUEUE = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Priority(IntEnum):
    """Which due job of a queue is leased first; the order is strict."""

    HIGH = 1
    NORMAL = 2
    LOW = 3


class JobArguments(BaseModel):
    """The base class of every kind's arguments.

    A waiting job may be older than the code that reads it. So a kind may only gain optional fields;
    any other change makes a new kind: ``mail.send.v2`` beside ``mail.send.v1``. Fields that an
    older worker does not know are ignored.

    Attributes:
        kind: the kind's name; ends in its version, ``.v1``.
        queue: the queue of this kind's jobs.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ClassVar[str]
    queue: ClassVar[str] = DEFAULT_QUEUE

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:  # noqa: ANN401 - Pydantic's own
        """Raise ValueError if the names do not follow the rules."""
        kind = getattr(cls, "kind", None)
        if kind is not None and not _KIND.fullmatch(kind):
            message = (
                f"{cls.__name__} has the kind {kind!r}: a kind is lower case, with dots, and ends "
                "in its version, as mail.send.v1"
            )
            raise ValueError(message)
        if not _QUEUE.fullmatch(cls.queue):
            message = (
                f"{cls.__name__} has the queue {cls.queue!r}: a queue is lower case, digits and "
                "hyphens, 40 characters at most"
            )
            raise ValueError(message)
