"""A reader switches mails off: by the header for mail programs, or by the link in the text."""

from urllib.parse import urlsplit

import pytest

from chassis.database import new_id
from contracts.examples import example
from contracts.users import UserDeleted
from notifications.kinds.models import Category, Channel
from notifications.mails.wiring import mails
from notifications.preferences.models import Preferences
from notifications.preferences.repository import PreferenceRepository
from notifications.unsubscriptions.models import UnsubscribeTokens, Unsubscription

from .conftest import KEY
from .test_notices import notice
from .test_requests import html_of, text_of

PATH = "/api/v1/notifications/unsubscribe"
ONE_CLICK = {
    "content": "List-Unsubscribe=One-Click",
    "headers": {"content-type": "application/x-www-form-urlencoded"},
}


@pytest.fixture
def muted(resources):
    """Return what a user has switched off."""

    async def read(user):
        async with resources.database.transaction() as unit:
            return (await PreferenceRepository(unit).find(user)).preferences.muted

    return read


@pytest.fixture
def token_of():
    return lambda user, category=Category.ORDERS: UnsubscribeTokens([KEY]).sign(
        Unsubscription(user_id=user, category=category)
    )


async def test_the_one_click_link_of_a_mail_switches_such_mails_off(
    member, consume, placed, send, mail_server, client, muted
):
    user = await member()
    await consume(placed(user))
    await send()
    [mail] = mail_server.received
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = urlsplit(mail["List-Unsubscribe"].removeprefix("<").removesuffix(">"))
    assert (link.scheme, link.netloc, link.path) == ("https", "shop.example.com", PATH)
    response = await client.post(f"{link.path}?{link.query}", **ONE_CLICK)
    assert response.status_code == 200, response.text
    assert response.json() == {"category": "orders", "email": False}
    assert await muted(user) == {(Category.ORDERS, Channel.EMAIL)}
    await consume(placed(user))
    await send()
    assert len(mail_server.received) == 1


async def test_the_link_in_the_text_leads_to_the_page_that_asks_and_has_the_same_token(
    member, consume, placed, send, mail_server
):
    await consume(placed(await member()))
    await send()
    [mail] = mail_server.received
    token = mail["List-Unsubscribe"].partition("token=")[2].removesuffix(">")
    page = f"https://shop.example.com/unsubscribe#token={token}"
    assert page in text_of(mail).splitlines()
    assert f'href="{page}"' in html_of(mail)


async def test_the_header_is_one_line_as_it_is_sent(member, consume, placed, send, mail_server):
    """A header that is folded or encoded is no link to a mail program."""
    await consume(placed(await member()))
    await send()
    [raw] = mail_server.raw
    [line] = [line for line in raw.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert line.startswith(b"List-Unsubscribe: <https://")
    assert line.endswith(b">")


async def test_a_read_changes_nothing(client, token_of, muted):
    user = new_id()
    for method in ("GET", "HEAD"):
        response = await client.request(method, f"{PATH}?token={token_of(user)}")
        assert response.status_code == 200
    assert (await client.get(f"{PATH}?token={token_of(user)}")).json()["email"] is True
    assert await muted(user) == set()


async def test_no_cache_may_keep_a_response_whose_query_has_the_token(client, token_of):
    link = f"{PATH}?token={token_of(new_id())}"
    for method in ("GET", "POST"):
        for target in (link, f"{link}x"):  # the second is refused
            response = await client.request(method, target, **ONE_CLICK)
            assert response.headers.get_list("cache-control") == ["no-store"]


async def test_again_it_changes_nothing_and_other_choices_stay(
    client, token_of, muted, resources, db
):
    user = new_id()
    chosen = frozenset({(Category.ORDERS, Channel.WEBHOOK)})
    async with resources.database.transaction() as unit:
        repository = PreferenceRepository(unit)
        await repository.lock(user)
        await repository.store(user, Preferences(muted=chosen, locale="de"))
    for _ in range(2):
        response = await client.post(f"{PATH}?token={token_of(user)}", **ONE_CLICK)
        assert response.status_code == 200
    assert await muted(user) == chosen | {(Category.ORDERS, Channel.EMAIL)}
    row = await db.fetchrow("SELECT locale, version FROM preferences")
    assert tuple(row) == ("de", 2)


async def test_the_token_of_a_deleted_account_changes_nothing(client, consume, token_of, muted):
    user = new_id()
    await consume(example(UserDeleted, user_id=user, version=9))
    response = await client.post(f"{PATH}?token={token_of(user)}", **ONE_CLICK)
    assert response.status_code == 200
    assert await muted(user) == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("change", ["", "x", "cut", "user", "category", "key", "é", "%00"])
async def test_a_token_that_no_key_signed_is_refused(method, change, client, token_of):
    user = new_id()
    token = token_of(user)
    other = {
        "": "",
        "x": "x" * 150,
        "cut": token[:-1],
        "user": token[:22] + token_of(new_id())[22:],
        "category": token[:22] + token_of(user, Category.ANNOUNCEMENTS)[22:],
        "key": UnsubscribeTokens(["y" * 32]).sign(
            Unsubscription(user_id=user, category=Category.ORDERS)
        ),
    }.get(change, token + change)
    response = await client.request(method, f"{PATH}?token={other}")
    assert response.status_code == 422
    assert response.json()["type"].endswith("invalid-unsubscribe-token")


async def test_a_token_that_is_too_long_or_missing_is_refused(client):
    for query in ("", f"?token={'x' * 201}"):
        assert (await client.post(f"{PATH}{query}")).status_code == 422


def test_a_new_key_leaves_the_links_of_older_mails_valid():
    about = Unsubscription(user_id=new_id(), category=Category.ORDERS)
    both = UnsubscribeTokens(["n" * 32, KEY])
    old, new = UnsubscribeTokens([KEY]).sign(about), both.sign(about)
    assert old is not None
    assert new is not None
    assert both.read(old) == both.read(new) == about
    assert UnsubscribeTokens([KEY]).read(new) is None
    assert UnsubscribeTokens(["n" * 32]).read(old) is None
    assert UnsubscribeTokens([]).sign(about) is None
    assert UnsubscribeTokens([]).read(old) is None


async def test_security_mails_have_no_such_link(member, resources, send, mail_server):
    user = await member()
    async with resources.database.transaction() as unit:
        await mails(resources, unit).send_notices([notice(user, "user.email_changed")])
    await send()
    [mail] = mail_server.received
    assert mail["List-Unsubscribe"] is None
    assert mail["List-Unsubscribe-Post"] is None
    assert "unsubscribe" not in text_of(mail)
