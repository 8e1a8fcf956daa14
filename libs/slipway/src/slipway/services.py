"""The names of the services that this command runs, bootstraps and migrates."""

import os
from pathlib import Path

from chassis.installed import service_names
from chassis.role_names import owner_role, runtime_role
from slipway.errors import SlipwayError

# The image for operators' jobs contains no service, so the deployment names them.
SERVICES = tuple(os.environ.get("SLIPWAY_SERVICES", "").split()) or service_names()
NAMES = ", ".join(SERVICES)


def role_names() -> tuple[str, ...]:
    """Return the names of all roles that need a password."""
    return tuple(role for name in SERVICES for role in (owner_role(name), runtime_role(name)))


def require_known(name: str) -> None:
    """Raise SlipwayError if no service has this name, where the services are known."""
    if SERVICES and name not in SERVICES:
        message = f"There is no service {name!r}. Use one of: {NAMES}."
        raise SlipwayError(message)


def service_directory(root: Path, service: str) -> Path:
    """Return the folder that contains the service's `migrations/`."""
    return root / "services" / service


def url_variable(service: str) -> str:
    """Return the name of the variable with the owner's URL, for the migrating process."""
    return f"{service.upper()}_DATABASE_OWNER_URL"
