"""The tables that a service declares, found by walking its package, so that none is missed.

A service's ``metadata.py`` holds ``Base``. Each module named ``models``, in any folder, derives its
tables from it.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sqlalchemy import MetaData, Table

CHASSIS_TABLE = {"chassis_table": True}
"""The ``info`` of each table that the chassis declares, and so migrates."""
_URGENT_TOPICS = "urgent_topics"


class UndeclaredTablesError(Exception):
    """A service's package declares its tables incorrectly; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTables:
    """The tables of one service.

    Attributes:
        metadata: all tables.
        of_chassis: the names of the tables that the chassis' revisions create.
        urgent_topics: the topics of the outbox that have an index of their own.
    """

    metadata: MetaData
    of_chassis: frozenset[str]
    urgent_topics: tuple[str, ...]


def set_urgent_topics(metadata: MetaData, topics: tuple[str, ...]) -> None:
    """Record in `metadata` which topics the service's worker relays in a lane of their own."""
    metadata.info[_URGENT_TOPICS] = topics


def declared_tables(package: str) -> ServiceTables:
    """Import the models of a service, and return the tables that they declare.

    Args:
        package: the import name of the service's package.

    Raises:
        UndeclaredTablesError: there is no such package with ``metadata.py``, or a model uses
            another metadata, which no migration reads.
    """
    try:
        metadata: MetaData = importlib.import_module(f"{package}.metadata").Base.metadata
    except (ModuleNotFoundError, AttributeError) as error:
        message = (
            f"the service {package} declares no tables ({error}): its folder's name must be that "
            "of an installed package, whose metadata.py holds `Base`"
        )
        raise UndeclaredTablesError(message) from error
    for module in _models(package):
        _check(module, metadata)
    return ServiceTables(
        metadata=metadata,
        of_chassis=frozenset(
            name for name, table in metadata.tables.items() if "chassis_table" in table.info
        ),
        urgent_topics=metadata.info.get(_URGENT_TOPICS, ()),
    )


def _models(package: str) -> Iterator[ModuleType]:
    """Import each ``models`` module, and each module of a package of that name.

    It searches for files, because pkgutil ignores a folder that has no ``__init__.py`` yet.
    """
    for root in importlib.import_module(package).__path__:
        for file in sorted(Path(root).rglob("*.py")):
            parts = file.with_suffix("").relative_to(root).parts
            if "models" in parts:
                yield importlib.import_module(".".join((package, *parts)).removesuffix(".__init__"))


def _check(module: ModuleType, metadata: MetaData) -> None:
    for name, value in vars(module).items():
        table = value if isinstance(value, Table) else getattr(value, "__table__", None)
        if isinstance(table, Table) and table.metadata is not metadata:
            message = (
                f"{module.__name__}.{name} hangs on a metadata of its own, which no migration "
                "sees: derive it from the Base of the service's metadata.py"
            )
            raise UndeclaredTablesError(message)
