"""The shape of a mail in the export of a person's data."""

from datetime import datetime

from chassis.http import Id, Shape


class ExportedMail(Shape):
    """A mail to a user. Its token is a secret, and its text is not stored."""

    id: Id
    kind: str
    state: str
    recipient: str | None
    created_at: datetime
    settled_at: datetime | None
