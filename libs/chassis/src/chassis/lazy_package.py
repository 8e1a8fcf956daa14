"""Packages whose names are imported at their first use (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module


def names_from(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package.

    A process that uses only a part of the package then neither waits for the other modules nor
    holds them: SQLAlchemy alone takes a third of a second of CPU time and 25 MB.

    Args:
        package: the package's name.
        modules: by each name of the package, the module of it that has the name.
    """

    def get(name: str) -> object:
        if name not in modules:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get
