"""The messages that the mail sink keeps, for `slipway mail`."""

import mailbox
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.state import StateDirectory


@dataclass(frozen=True, slots=True)
class Mail:
    """One message, numbered from 1 in the order of arrival."""

    number: int
    message: EmailMessage

    @property
    def text(self) -> str:
        """Return the plain text, or the best substitute for it."""
        body = self.message.get_body(("plain", "html"))
        return "" if body is None else str(body.get_content())


def sink_directory(state: StateDirectory) -> Path:
    """Return the mail sink's directory."""
    return state.servers / "mail"


def mail_directory(state: StateDirectory) -> Path:
    """Return the maildir in which the sink stores what it receives."""
    return sink_directory(state) / "messages"


def read_mails(directory: Path) -> list[Mail]:
    """Return all messages of a maildir, the oldest first; none if it doesn't exist."""
    if not directory.is_dir():
        return []
    box = mailbox.Maildir(directory, create=False)
    parser = BytesParser(EmailMessage, policy=policy.default)
    arrived = sorted(box.keys(), key=lambda key: (_time(key), key))
    messages = [parser.parsebytes(box.get_bytes(key)) for key in arrived]
    return [Mail(number, message) for number, message in enumerate(messages, start=1)]


def find_mail(directory: Path, number: int) -> Mail:
    """Return one message by its number."""
    mails = read_mails(directory)
    if not 1 <= number <= len(mails):
        message = (
            f"There is no message {number}; the sink has {len(mails)}. `slipway mail` lists them."
        )
        raise SlipwayError(message)
    return mails[number - 1]


def _time(key: str) -> float:
    """Return the time of delivery, with which a maildir name begins."""
    seconds, _, rest = key.partition(".")
    microseconds = rest.partition("M")[2].partition("P")[0]
    return float(f"{seconds}.{microseconds or 0}")
