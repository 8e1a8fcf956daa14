"""The sink's messages are listed in the order of their arrival."""

import mailbox
from email.message import EmailMessage
from pathlib import Path

import pytest

from localservers import MailSink
from slipway.errors import SlipwayError
from slipway.local.mail import find_mail, mail_directory, read_mails, sink_directory
from slipway.state import StateDirectory


def test_messages_are_numbered_as_they_came(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "messages")
    for subject in ("first", "second", "third"):
        message = EmailMessage()
        message["Subject"] = subject
        message.set_content(f"Grüße, {subject}")
        box.add(message)
    mails = read_mails(tmp_path / "messages")
    assert [(mail.number, mail.message["Subject"]) for mail in mails] == [
        (1, "first"),
        (2, "second"),
        (3, "third"),
    ]
    assert find_mail(tmp_path / "messages", 2).text == "Grüße, second\n"
    with pytest.raises(SlipwayError, match="no message 4; the sink has 3"):
        find_mail(tmp_path / "messages", 4)


def test_a_sink_that_never_ran_holds_no_messages(tmp_path: Path) -> None:
    assert read_mails(tmp_path / "messages") == []


def test_messages_are_read_from_where_the_sink_stores_them(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    sink = MailSink(directory=sink_directory(state), port=1025)
    assert mail_directory(state) == sink.messages
