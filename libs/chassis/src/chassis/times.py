"""Times that come from outside: with a zone, and within the years that SQL accepts."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}", re.ASCII)


def _written_as_time(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC_3339.match(value):
        message = "must be a time of RFC 3339, such as 2026-01-15T10:20:30Z"
        raise ValueError(message)
    return value


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        message = "must lie in the years 1 to 9999 of UTC"
        raise ValueError(message) from error


Moment = Annotated[
    AwareDatetime, Field(strict=False), BeforeValidator(_written_as_time), AfterValidator(_in_utc)
]
"""An RFC 3339 time in a request, converted to UTC.

A time whose year in UTC is not within 1 to 9999 is rejected, because SQL would fail on it."""
