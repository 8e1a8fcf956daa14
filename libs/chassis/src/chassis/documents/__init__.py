"""Documents that are generated from the installed services' declarations, and committed."""

from chassis.documents.files import write_or_check

__all__ = ["write_or_check"]
