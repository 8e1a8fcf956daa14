"""The result of one check of `slipway doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """What a check found."""

    OK = "ok"
    WARNING = "warning"
    """It works now, and will not for long, or not well."""
    FAULT = "fault"
    """It does not work until somebody acts."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        grade: what was found.
        found: the value, for people.
        mend: what to do; empty if nothing.
    """

    name: str
    grade: Grade
    found: str
    mend: str = ""
