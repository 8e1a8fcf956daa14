"""The shape of a recipient in the export of a person's data."""

from datetime import datetime

from chassis.http import Shape


class ExportedRecipient(Shape):
    """What this service keeps of an account, to notify its user."""

    email: str | None
    email_verified: bool
    email_refused_at: datetime | None
    full_name: str
    joined_at: datetime
    created_at: datetime
    updated_at: datetime
