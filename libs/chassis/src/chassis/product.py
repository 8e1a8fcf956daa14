"""The product's name, for the few places where it is visible outside.

A package declares it in its ``pyproject.toml``::

    [project.entry-points."chassis.product"]
    product = "product:PRODUCT"
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The names of a product.

    Attributes:
        name: the name in lower case. It is the audience of access tokens, the first part of a
            CloudEvents source, and the prefix of topics.
        problem_base: the URI before the name of a problem's type (RFC 9457 §3.1.1); ends in ``/``.
    """

    name: str
    problem_base: str

    @property
    def sample_secret(self) -> str:
        """The password of samples and demo accounts, which production rejects."""
        return f"{self.name}-demo-only"

    @property
    def topic_prefix(self) -> str:
        """The prefix of each public topic's name."""
        return f"{self.name}."

    def source_of(self, service: str) -> str:
        """Return the CloudEvents source of a service's events, a URI reference."""
        return f"/{self.name}/{service}"


_UNNAMED = Product(name="unnamed", problem_base="https://example.com/problems/")


@cache
def product() -> Product:
    """Return the installed product, or one named ``unnamed`` if no package declares it."""
    found = entry_points(group="chassis.product")
    if not found:
        return _UNNAMED
    declared: Product = next(iter(found)).load()
    return declared
