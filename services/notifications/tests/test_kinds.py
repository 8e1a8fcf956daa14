"""The table of kinds: complete, documented, and with a text for each kind in each language."""

import asyncio
import dataclasses
from typing import Any

import jinja2
import pytest

from chassis.database import new_id
from notifications.declaration import SERVICE
from notifications.kinds import service as kinds_service
from notifications.kinds.models import KINDS, Category, Channel, table_of_kinds
from notifications.kinds.service import NotificationTexts
from notifications.notifications.service import Draft
from notifications.notifications.wiring import notifier
from testkit.logs import own_logs
from testkit.messages import record_of
from testkit.services import batch_runner
from testkit.statements import statements_in_transaction

DATA = {"order_id": "7", "title": "Sale", "body": "All ropes."}
PLACED = KINDS["order.placed"]


@pytest.fixture
def catalogue(tmp_path):
    """Write a catalogue with a language for each argument, whose texts begin with its name."""

    def write(*languages, body="{{ order_id }}"):
        for language in languages:
            folder = tmp_path / language
            folder.mkdir()
            for kind in KINDS.values():
                (folder / f"{kind.template}.title").write_text(f"{language} title\n")
                (folder / f"{kind.template}.body").write_text(f"{language} {body}\n")
        return NotificationTexts(tmp_path)

    return write


def test_each_kind_is_made_by_an_event_that_is_handled_or_by_a_request():
    events = {kind.event for kind in KINDS.values() if kind.event is not None}
    assert all(SERVICE.subscriptions.find(event) is not None for event in events)
    assert {kind.type for kind in KINDS.values() if kind.event is None} == {"announcement"}
    assert {f"{kind.type}.v1" for kind in KINDS.values() if kind.event is not None} == events


def test_each_kind_is_in_the_app_and_each_category_has_a_kind():
    assert all(Channel.IN_APP in kind.channels for kind in KINDS.values())
    assert {kind.category for kind in KINDS.values()} == set(Category)


async def test_the_documented_table_has_a_row_for_each_kind(client):
    document = (await client.get("/openapi.json")).json()
    description = document["paths"]["/api/v1/notifications"]["get"]["description"]
    assert table_of_kinds() in description
    assert (
        "| `order.confirmed` | `order.confirmed.v1` | the customer | `orders` |"
        " `in_app`, `webhook` | `order-confirmed` |"
    ) in description
    assert len(table_of_kinds().splitlines()) == len(KINDS) + 2


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_has_a_text_in_each_language(kind):
    texts = NotificationTexts()
    for language in texts.languages:
        text = texts.text(kind, DATA, locale=language)
        assert text.language == language
        assert text.title == text.title.strip() != ""
        assert "\n" not in text.title
        assert text.body == text.body.strip() != ""


def test_no_language_has_a_template_of_no_kind():
    names = {kind.template for kind in KINDS.values()}
    for folder in kinds_service._TEMPLATES.iterdir():
        assert {file.name for file in folder.iterdir()} == {
            f"{name}.{form}" for name in names for form in ("title", "body")
        }


def test_a_text_is_plain_and_escapes_nothing():
    data = {"title": "Ropes & <b>hooks</b>", "body": "1 < 2 {{ title }}"}
    text = NotificationTexts().text(KINDS["announcement"], data, locale="en")
    assert (text.title, text.body) == ("Ropes & <b>hooks</b>", "1 < 2 {{ title }}")


@pytest.mark.parametrize(
    ("locale", "language"), [("de-CH", "de"), ("de", "de"), ("pt-BR", "pt-br"), ("pt", "en")]
)
def test_the_closest_language_is_chosen(catalogue, locale, language):
    text = catalogue("en", "de", "pt-br").text(PLACED, DATA, locale=locale)
    assert (text.language, text.body) == (language, f"{language} 7")


async def test_each_user_gets_their_language_for_one_more_statement_a_batch(
    catalogue, worker_resources, client, headers, db
):
    texts = await asyncio.to_thread(catalogue, "en", "de")
    resources = dataclasses.replace(worker_resources, notification_texts=texts)
    german, english = new_id(), new_id()
    path = "/api/v1/notifications/preferences"
    answer = await client.put(path, headers=headers(german), json={"locale": "de-AT"})
    assert answer.status_code == 200
    async with statements_in_transaction(resources.database) as (unit, sent):
        writing = notifier(resources, unit)
        for user in (german, english, german):
            writing.notify("order.placed", user_id=user, source_event_id=str(new_id()), data=DATA)
        notices = await writing.write_all()
    assert [notice.locale for notice in notices] == ["de", "en", "de"]
    assert len(sent) == 2 + 1, "languages, notifications and COMMIT"
    rows = await db.fetch("SELECT user_id, title FROM notifications")
    assert {row["user_id"]: row["title"] for row in rows} == {
        german: "de title",
        english: "en title",
    }


async def test_a_template_that_fails_puts_nothing_of_its_data_in_a_log(
    catalogue, worker_resources, placed, db
):
    texts = await asyncio.to_thread(catalogue, "en", body="{{ order_id }} {{ missing }}")
    order = placed(new_id())
    with pytest.raises(jinja2.UndefinedError) as raised:
        texts.text(PLACED, {"order_id": order.order_id}, locale="en")
    assert str(order.order_id) not in str(raised.value)
    resources = dataclasses.replace(worker_resources, notification_texts=texts)
    with own_logs() as logs:
        assert await batch_runner(SERVICE, resources).run([record_of(order)]) == (1, None)
    assert "missing" in await db.fetchval("SELECT error FROM parked_messages")
    told = repr(logs) + await db.fetchval("SELECT error FROM parked_messages")
    assert str(order.order_id) not in told


def test_a_representation_shows_no_data():
    fields: Any = {"id": 1, "user_id": 2, "source_event_id": "3", "traceparent": None}
    assert "secret" not in repr(Draft(kind=PLACED, data={"order_id": "secret"}, **fields))
