"""The messages that the mail sink keeps, for `slipway mail`."""

import mailbox
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.state import StateDirectory

_HEADERS = ("Date", "From", "To", "Subject")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message, numbered from 1 in the order of arrival."""

    number: int
    message: EmailMessage

    @property
    def id(self) -> str:
        """Return its Message-ID, without the angle brackets."""
        return str(self.message["Message-ID"] or "").strip().strip("<>")

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that a reader sees, decoded; a missing one is empty."""
        return {name: str(self.message[name] or "") for name in _HEADERS}

    @property
    def summary(self) -> dict[str, str | int]:
        """Return what a list shows of it, for programs."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {"number": self.number, "id": self.id, **headers}

    @property
    def whole(self) -> dict[str, object]:
        """Return all of it, for programs: the summary, all headers, and the text."""
        headers = [[name, str(value)] for name, value in self.message.items()]
        return {**self.summary, "headers": headers, "text": self.text}

    @property
    def text(self) -> str:
        """Return the plain text, or the best substitute for it."""
        body = self.message.get_body(("plain", "html"))
        # Mail is sent with CRLF, and the sink stores it so.
        return "" if body is None else str(body.get_content()).replace("\r\n", "\n")


def sink_directory(state: StateDirectory) -> Path:
    """Return the mail sink's directory."""
    return state.servers / "mail"


def mail_directory(state: StateDirectory) -> Path:
    """Return the maildir in which the sink stores what it receives."""
    return sink_directory(state) / "messages"


def read_mails(directory: Path) -> list[Mail]:
    """Return all messages of a maildir, the newest first; none if it doesn't exist."""
    if not directory.is_dir():
        return []
    box = mailbox.Maildir(directory, create=False)
    parser = BytesParser(EmailMessage, policy=policy.default)
    arrived = sorted(box.keys(), key=lambda key: (_time(key), key))
    messages = [parser.parsebytes(box.get_bytes(key)) for key in arrived]
    return [Mail(number, message) for number, message in enumerate(messages, start=1)][::-1]


def find_mail(directory: Path, wanted: str) -> Mail:
    """Return one message by its number, or by its Message-ID; the newest of several.

    The part of the Message-ID before the ``@`` is enough: it is the id of the mail in the logs.
    """
    mails = read_mails(directory)
    asked = wanted.strip("<>")
    for mail in mails:
        if asked and asked in {str(mail.number), mail.id, mail.id.partition("@")[0]}:
            return mail
    message = f"There is no message {wanted}; the sink has {len(mails)}. `slipway mail` lists them."
    raise SlipwayError(message)


def _time(key: str) -> float:
    """Return the time of delivery, with which a maildir name begins.

    Its microseconds have no leading zeros: ``1700000000.M5P1`` is 5 µs after the second.
    """
    seconds, _, rest = key.partition(".")
    microseconds = rest.partition("M")[2].partition("P")[0]
    return float(f"{seconds}.{microseconds.zfill(6)}")
