"""The names of the installed services, for programs that import none of them."""

from importlib.metadata import EntryPoints, entry_points

_GROUP = "chassis.services"


def service_entry_points() -> EntryPoints:
    """Return the entry points by which packages declare a service."""
    return entry_points(group=_GROUP)


def service_names() -> tuple[str, ...]:
    """Return the names of the installed services, sorted."""
    return tuple(sorted(service_entry_points().names))
