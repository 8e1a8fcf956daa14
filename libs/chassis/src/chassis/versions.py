"""Optimistic concurrency: reject a change that was decided on another version."""

from dataclasses import dataclass

from chassis.errors import PreconditionFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Which version an aggregate must have for a change; without arguments, any.

    Attributes:
        among: the versions that the caller accepts; None accepts any.
        but: the versions that the caller does not accept.
        none: whether the caller accepts no version at all: the aggregate must not exist.
    """

    among: frozenset[int] | None = None
    but: frozenset[int] = frozenset()
    none: bool = False

    def check(self, version: int) -> None:
        """Check that an aggregate is at a version that the caller expects.

        Raises:
            PreconditionFailed: the caller does not accept `version`.
        """
        if self.among is not None and version not in self.among:
            seen = " or ".join(map(str, sorted(self.among))) or "one that never was"
            message = f"The resource has version {version}, and you expected {seen}. Read it again."
            raise PreconditionFailed(message)
        if self.none or version in self.but:
            seen = "none" if self.none else "another"
            message = f"The resource has version {version}, and you expected {seen}. Read it again."
            raise PreconditionFailed(message)
