"""The kinds of mails, and what a text is made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class MailKind(StrEnum):
    """What a mail is for that is no notification. Its templates have this name."""

    EMAIL_VERIFICATION = "email-verification"
    PASSWORD_RESET = "password-reset"  # noqa: S105 - a template's name
    EMAIL_CHANGED = "email-changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeContent:
    """A notification in a mail.

    Attributes:
        title: plain text.
        body: plain text.
        data: depends on the kind.
        unsubscribe_token: switches off mails of the category; None if they can't be switched off.
    """

    title: str
    body: str
    data: Mapping[str, Any]
    unsubscribe_token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailContent:
    """What one mail says, and to whom.

    Attributes:
        id: also the Message-ID, so that a mail that is sent twice can be recognized.
        kind: names the templates; for a notification, the template of its kind.
        recipient: the address that it goes to.
        locale: the reader's language (BCP 47).
        token: the secret in the mail's link; None if it has no link.
        expires_at: until when the link works.
        created_at: the mail's date, the same in each attempt.
        notice: the notification; None if the mail is none.
    """

    id: UUID
    kind: str
    recipient: str = field(repr=False)
    locale: str
    token: str | None = field(repr=False)
    expires_at: datetime
    created_at: datetime
    notice: NoticeContent | None = None
