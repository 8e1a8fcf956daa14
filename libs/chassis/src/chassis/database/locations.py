"""The folders of a schema's revisions; a module without Alembic, whose import is slow."""

from pathlib import Path

_DATABASE = Path(__file__).parent
ENVIRONMENT = _DATABASE / "environment"
CHASSIS_REVISIONS = _DATABASE / "revisions"


def service_revisions(service_directory: Path) -> Path:
    """Return the folder of the service's own revisions."""
    return service_directory / "migrations" / "versions"
