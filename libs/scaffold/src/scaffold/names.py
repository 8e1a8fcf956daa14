"""The names of a new service, from the plural of its first noun: ``reviews``."""

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec

_WORD = re.compile(r"[a-z][a-z0-9]{1,19}")


class NameRefusedError(ValueError):
    """The service can't have this name."""


@dataclass(frozen=True, slots=True)
class Names:
    """The forms of a service's name that its files need.

    Attributes:
        service: the plural of the noun, which names the package, the schema and the path.
        noun: its singular.
    """

    service: str
    noun: str

    @classmethod
    def of(cls, service: str, noun: str | None, *, taken: Collection[str]) -> "Names":
        """Return the names of a new service.

        Args:
            service: its name.
            noun: its singular; None derives it.
            taken: the names of the services that there are.

        Raises:
            NameRefusedError: the name is no word, or something else has it.
        """
        singular = singular_of(service) if noun is None else noun
        for word in (service, singular):
            if not _WORD.fullmatch(word) or keyword.iskeyword(word):
                message = (
                    f"{word!r} can't name a package. Use one lower-case word of 2 to 20 letters "
                    "and digits."
                )
                raise NameRefusedError(message)
        if service == "references":
            message = "'references' is a reserved word of SQL. Choose another name."
            raise NameRefusedError(message)
        if service == singular:
            message = (
                f"{service!r} is taken for a singular. Name the service with a plural, as in "
                "`reviews`, or give its singular with NOUN=…"
            )
            raise NameRefusedError(message)
        for word in (service, singular):
            if word in taken or find_spec(word) is not None:
                message = f"There is a package {word!r} already. Choose another name."
                raise NameRefusedError(message)
        return cls(service, singular)

    @property
    def values(self) -> dict[str, str]:
        """The values of the templates' placeholders."""
        return {
            "service": self.service,
            "Service": self.service.capitalize(),
            "SERVICE": self.service.upper(),
            "noun": self.noun,
            "Noun": self.noun.capitalize(),
        }


def singular_of(plural: str) -> str:
    """Return the singular of a regular plural; another word as it is."""
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    if plural.endswith(("sses", "shes", "ches", "xes", "zes")):
        return plural[:-2]
    return plural[:-1] if plural.endswith("s") and not plural.endswith("ss") else plural
