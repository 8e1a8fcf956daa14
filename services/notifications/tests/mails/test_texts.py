"""The texts of mails: each kind in each language, without a way to inject anything."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, meta

import notifications.mail_texts.service
from chassis.database import new_id
from notifications.kinds.models import KINDS
from notifications.mail_texts.errors import UnfitAddressError
from notifications.mail_texts.models import MailContent, MailKind
from notifications.mail_texts.service import MailTexts, address_header

TEMPLATES = Path(notifications.mail_texts.service.__file__).with_name("templates")
LANGUAGES = sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())
VALUES = {"language", "product", "public_url", "expires", "link"}
NOTICE_VALUES = {"language", "product", "public_url", "title", "body", "data", "unsubscribe"}
OF_NOTICES = {"notification", *(kind.template for kind in KINDS.values())}


@pytest.fixture(scope="module")
def texts():
    return MailTexts(
        sender="Slipway <no-reply@shop.example.com>", public_url="https://shop.example.com"
    )


def content(**given):
    made: dict[str, Any] = {
        "id": new_id(),
        "kind": MailKind.EMAIL_VERIFICATION,
        "recipient": "ada@example.com",
        "locale": "en",
        "token": "token",
        "expires_at": datetime(2026, 1, 15, 11, 30, tzinfo=UTC),
        "created_at": datetime(2026, 1, 15, 11, 0, tzinfo=UTC),
    }
    return MailContent(**made | given)


@pytest.mark.parametrize("kind", [*MailKind, "notification"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_each_kind_in_each_form(language, kind):
    names = {file.name for file in (TEMPLATES / language).iterdir()}
    assert {f"{kind}.{form}" for form in ("subject", "txt", "html")} <= names


@pytest.mark.parametrize("file", [file for file in TEMPLATES.rglob("*") if file.is_file()], ids=str)
def test_a_template_uses_only_the_values_that_it_gets(file):
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
    used = meta.find_undeclared_variables(environment.parse(file.read_text(encoding="utf-8")))
    assert used <= (NOTICE_VALUES if file.stem in OF_NOTICES else VALUES)


@pytest.mark.parametrize("kind", MailKind)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_subject_is_one_line(texts, kind, language):
    subject = texts.message(content(kind=kind, locale=language))["Subject"]
    assert subject
    assert subject.isprintable()


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("EN", "en"),
        ("tlh-Latn-x-q", "en"),
        ("", "en"),
        ("../en", "en"),
    ],
)
def test_a_locale_gets_the_closest_language_or_english(texts, locale, language):
    assert texts.message(content(locale=locale))["Content-Language"] == language


def test_a_token_can_break_out_of_neither_the_link_nor_the_html(texts):
    hostile = '"><script>&#\n\r\n.\r\n'
    message = texts.message(content(token=hostile))
    for form in ("plain", "html"):
        body = message.get_body((form,)).get_content()
        assert "<script>" not in body
        assert "#token=%22%3E%3Cscript%3E%26%23%0A%0D%0A.%0D%0A" in body


def test_the_link_can_be_read_in_the_source_of_the_mail(texts):
    token = "a" * 43
    source = texts.message(content(token=token)).as_bytes()
    assert f"\r\nhttps://shop.example.com/verify-email#token={token}\r\n".encode() in source
    assert max(len(line) for line in source.splitlines()) <= 998


def test_a_message_is_the_same_in_each_attempt(texts):
    given = content()
    first, second = texts.message(given), texts.message(given)
    for name in ("Message-ID", "Date", "From", "To", "Subject"):
        assert first[name] == second[name]
    assert first["Message-ID"] == f"<{given.id}@shop.example.com>"
    assert first["Date"].datetime == given.created_at


def test_a_message_survives_being_written_and_read(texts):
    written = texts.message(content()).as_bytes()
    read = message_from_bytes(written, policy=policy.default)
    assert read["To"] == "ada@example.com"
    assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]
    assert not read.defects


def test_nothing_secret_is_in_a_representation():
    shown = repr(content(token="secret-token"))
    assert "secret-token" not in shown
    assert "ada@" not in shown


@pytest.mark.parametrize("address", ["a b@x.y", '"a b"@x.y', "a@b@c", "a@[127.0.0.1]", "a@x.y\n"])
def test_an_address_that_a_header_could_misread_is_refused(address):
    with pytest.raises(UnfitAddressError):
        address_header(address)
