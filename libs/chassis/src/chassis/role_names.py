"""The names of a service's two database roles; imports nothing, so that any command can."""


def owner_role(service: str) -> str:
    """Return the name of the role that owns the service's schema and migrates it."""
    return f"{service}_owner"


def runtime_role(service: str) -> str:
    """Return the name of the role that the service runs as."""
    return f"{service}_runtime"
