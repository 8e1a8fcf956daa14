"""Canary tests of the names that `library_internals` uses; each failure says where to look."""

import inspect
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateName:
    """A private or undocumented name of a library.

    Attributes:
        library: the distribution.
        owner: the module, class or object that has the attribute.
        name: the name of the attribute.
        used_by: our module that uses it.
        parameters: a function's parameters in order, separated by ", "; None: not a function.
    """

    library: str
    owner: object
    name: str
    used_by: str
    parameters: str | None = None

    def __str__(self) -> str:
        """Return the name of its test."""
        kind = self.owner if isinstance(self.owner, type) else type(self.owner)
        owner = getattr(self.owner, "__name__", kind.__name__)
        return f"{owner}.{self.name}"

    def look_at(self, fault: str) -> str:
        """Return the text of a failing test."""
        return (
            f"{self.library} {version(self.library)}: {self} {fault}. {self.used_by} uses it. Read "
            f"the library's source, then change that module and this canary."
        )

    def check(self) -> None:
        """Check that the name exists and has the expected parameters.

        Raises:
            AssertionError: it does not; the text says what to look at.
        """
        if not hasattr(self.owner, self.name):
            raise AssertionError(self.look_at("is gone"))
        if self.parameters is None:
            return
        found = ", ".join(inspect.signature(getattr(self.owner, self.name)).parameters)
        if found != self.parameters:
            fault = f"accepts ({found}), and accepted ({self.parameters})"
            raise AssertionError(self.look_at(fault))
