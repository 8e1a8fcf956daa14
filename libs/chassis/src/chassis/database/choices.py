"""What a service chose of the chassis' tables, as the chassis' revisions read and obey it."""

from collections.abc import Callable, Collection, Mapping

from alembic import op

_TABLES = "chassis_tables"


def choice(name: str) -> Collection[str]:
    """Return the service's choice of tables or topics; see ``chassis.database.migrations``.

    Args:
        name: ``chassis_tables`` or ``urgent_topics``.

    Raises:
        RuntimeError: alembic runs without a configuration.
    """
    config = op.get_context().config
    if config is None:
        message = "the chassis' revisions run only by chassis.database.migrations"
        raise RuntimeError(message)
    chosen: Collection[str] = config.attributes[name]
    return chosen


def create_chosen(tables: Mapping[str, Callable[[], None]]) -> None:
    """Create those of a revision's tables that the service has, in order."""
    chosen = choice(_TABLES)
    for name, create in tables.items():
        if name in chosen:
            create()


def drop_chosen(tables: Mapping[str, Callable[[], None]]) -> Collection[str]:
    """Drop those of a revision's tables that the service has, in reverse; return their names."""
    chosen = choice(_TABLES)
    dropped = [name for name in reversed(list(tables)) if name in chosen]
    for name in dropped:
        op.drop_table(name)
    return dropped
