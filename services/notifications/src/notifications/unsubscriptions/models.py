"""The tokens with which a reader of a mail switches off mails like it."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from notifications.kinds.models import Category

MAX_TOKEN = 200
"""The most characters of a token that is read."""

_PURPOSE = b"notifications unsubscribe v1"
_MAC_BYTES = 16
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscription:
    """What a token switches off: a user's mails of one category."""

    user_id: UUID
    category: Category


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSwitch:
    """Whether a user's mails of one category are on."""

    category: Category
    email: bool


class UnsubscribeTokens:
    """Signs tokens with the first key, and reads those of each key.

    A token does not expire: mails stay in mailboxes for years, and it can only switch mails off.
    No row is needed for it.

    Args:
        keys: random texts, the newest first. Without one, there are no tokens.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys

    def sign(self, unsubscription: Unsubscription) -> str | None:
        """Return the token; None if there is no key."""
        if not self._keys:
            return None
        content = unsubscription.user_id.bytes + unsubscription.category.encode()
        return base64.urlsafe_b64encode(_mac(self._keys[0], content) + content).decode().rstrip("=")

    def read(self, token: str) -> Unsubscription | None:
        """Return what a token switches off; None if none of the keys signed it."""
        if len(token) > MAX_TOKEN:
            return None
        try:
            signed = base64.b64decode(
                token + "=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, ValueError):
            return None
        mac, content = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, _mac(key, content)) for key in self._keys):
            return None
        return Unsubscription(
            user_id=UUID(bytes=content[:_ID_BYTES]),
            category=Category(content[_ID_BYTES:].decode()),
        )


def _mac(key: str, content: bytes) -> bytes:
    derived = hmac.digest(key.encode(), _PURPOSE, hashlib.sha256)
    return hmac.digest(derived, content, hashlib.sha256)[:_MAC_BYTES]


def one_click_link(public_url: str, token: str) -> str:
    """Return the link of a List-Unsubscribe header, which a mail program posts to (RFC 8058)."""
    return f"{public_url.rstrip('/')}/api/v1/notifications/unsubscribe?token={token}"


def page_link(public_url: str, token: str) -> str:
    """Return the link to the page of the web front end that asks the reader, then posts."""
    return f"{public_url.rstrip('/')}/unsubscribe#token={token}"
