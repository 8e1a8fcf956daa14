"""The sink's messages: listed with the newest first, and shown by number or Message-ID."""

import json
import mailbox
from email import policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner

from localservers import MailSink
from slipway.errors import SlipwayError
from slipway.local import inspection
from slipway.local.mail import find_mail, mail_directory, read_mails, sink_directory
from slipway.state import StateDirectory


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    """Make a maildir with three messages, as they are sent: with encoded headers."""
    state = StateDirectory(tmp_path)
    directory = mail_directory(state)
    directory.parent.mkdir(parents=True)
    box = mailbox.Maildir(directory)
    for number, subject in enumerate(("first", "zweite Grüße", "third [bold]"), start=1):
        message = EmailMessage(policy=policy.SMTP)
        message["From"] = "Slipway <no-reply@example.com>"
        message["To"] = "ada@example.com"
        message["Subject"] = subject
        message["Message-ID"] = f"<id-{number}@example.com>"
        message.set_content(f"Grüße, {subject}")
        message.add_alternative(f"<p>{subject}</p>", subtype="html")
        box.add(message.as_bytes())
    return directory


@pytest.fixture
def run(messages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `slipway mail` with arguments; return what it prints, if its exit status is `status`."""
    assert messages.is_dir()
    monkeypatch.setattr(inspection, "state_directory", lambda: StateDirectory(tmp_path))

    def call(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(inspection.mail_app, arguments)
        assert result.exit_code == status, result.output
        return result.output

    return call


def test_the_newest_is_first_and_numbers_are_in_the_order_of_arrival(messages: Path) -> None:
    assert [(mail.number, mail.headers["Subject"]) for mail in read_mails(messages)] == [
        (3, "third [bold]"),
        (2, "zweite Grüße"),
        (1, "first"),
    ]


def test_microseconds_without_leading_zeros_are_in_order(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "messages")
    for name in ("1700000000.M900P1Q1.host", "1700000000.M10000P1Q2.host", "1700000000.M2P1Q3.h"):
        message = f"Subject: {name.partition('M')[2].partition('P')[0]}\r\n\r\n"
        (tmp_path / "messages" / "new" / name).write_text(message)
    assert len(box) == 3
    read = [mail.headers["Subject"] for mail in read_mails(tmp_path / "messages")]
    assert read == ["10000", "900", "2"]


@pytest.mark.parametrize("wanted", ["2", "id-2", "id-2@example.com", "<id-2@example.com>"])
def test_a_message_is_found_by_its_number_or_its_id(messages: Path, wanted: str) -> None:
    assert find_mail(messages, wanted).text == "Grüße, zweite Grüße\n"


@pytest.mark.parametrize("wanted", ["4", "0", "id", "", "@example.com"])
def test_another_message_is_not_found(messages: Path, wanted: str) -> None:
    with pytest.raises(SlipwayError, match=r"There is no message .*; the sink has 3\."):
        find_mail(messages, wanted)


def test_the_list_shows_decoded_headers(run) -> None:
    listed = run()
    assert listed.index("third [bold]") < listed.index("zweite Grüße") < listed.index("first")
    assert "ada@example.com" in listed


def test_a_message_is_shown_with_its_headers_and_its_text(run) -> None:
    shown = run("id-2")
    assert "Subject: zweite Grüße" in shown
    assert "Grüße, zweite Grüße" in shown
    assert "<p>" not in shown


def test_programs_get_json(run) -> None:
    listed = json.loads(run("--json"))
    assert [one["number"] for one in listed] == [3, 2, 1]
    assert listed[1] == {
        "number": 2,
        "id": "id-2@example.com",
        "date": "",
        "from": "Slipway <no-reply@example.com>",
        "to": "ada@example.com",
        "subject": "zweite Grüße",
    }
    shown = json.loads(run("2", "--json"))
    assert shown["text"] == "Grüße, zweite Grüße\n"
    assert ["Message-ID", "<id-2@example.com>"] in shown["headers"]
    assert listed[1].items() <= shown.items()


def test_a_message_that_is_not_there_ends_with_an_error(run) -> None:
    run("9", status=1)


def test_a_sink_that_never_ran_holds_no_messages(tmp_path: Path) -> None:
    assert read_mails(tmp_path / "messages") == []


def test_messages_are_read_from_where_the_sink_stores_them(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    sink = MailSink(directory=sink_directory(state), port=1025)
    assert mail_directory(state) == sink.messages
