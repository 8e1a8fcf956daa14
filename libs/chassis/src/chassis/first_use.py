"""Names of a package that are imported at their first use (PEP 562).

A process that needs one module of a package does not import what the others need. A migration
needs the tables of jobs and messages, but neither FastAPI nor Kafka's client.
"""

from collections.abc import Callable, Mapping
from importlib import import_module


def at_first_use(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its name.
        modules: the submodule that has each name. A name may not be that of a submodule, which
            would hide it once it is imported.
    """

    def find(name: str) -> object:
        if name not in modules:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find
