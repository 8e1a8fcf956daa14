"""The client against the real system: its sessions renew, its feed resumes, its calls repeat."""

import asyncio
import random
import uuid
from datetime import UTC, datetime

import pytest

from client import Backoff, CommandError, ProblemError, Retries, SlipwayClient, TokenError, items_of
from testkit.authenticator import Browser, code_of

from .conftest import PASSWORD, Customer
from .cutting import cutting
from .test_mail import verify_address

ORDERS = 60
QUICK = Backoff(first=0.02, most=0.2)


@pytest.fixture
async def email(client):
    address = f"{uuid.uuid4().hex}@example.com"
    await client.register(email=address, password=PASSWORD, full_name="Ada Lovelace")
    return address


async def test_calls_and_feed_survive_connections_that_are_cut_at_random(
    system, client, email, product
):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    token = await client.open_session(email=email, password=PASSWORD)
    retries = Retries(attempts=20, backoff=QUICK)
    async with (
        cutting(system.gateway_url, chance=0.15, seed=seed) as (url, cutter),
        SlipwayClient(url, retries=retries, deadline=120) as behind,
        behind.follow(token, last_event_id=0, backoff=QUICK) as feed,
    ):
        customer = Customer(token=token, client=behind)
        placing = asyncio.create_task(place(customer, product))
        async with asyncio.timeout(240):
            items = [await anext(feed) for _ in range(ORDERS)]
            orders = await placing
    placed = [str(order.id) async for order in items_of(client.list_orders, token, limit=7)]
    assert cutter.cuts > 5
    assert [item.event_id for item in items] == list(range(1, ORDERS + 1))
    assert sorted(item.data["data"]["order_id"] for item in items) == sorted(map(str, orders))
    assert sorted(placed) == sorted(map(str, orders)), "a repeated call has placed no second order"


async def place(customer, product):
    return [(await customer.order(product.id)).id for _ in range(ORDERS)]


async def test_a_session_renews_itself_until_it_is_ended(client, email):
    token = await client.open_session(email=email, password=PASSWORD)
    first = token.tokens
    fresh = await asyncio.gather(*(token.renew(first.access_token) for _ in range(10)))
    assert len({*fresh}) == 1
    assert token.tokens.refresh_token != first.refresh_token
    resumed = await client.resume_session(token.tokens.refresh_token)
    assert (await client.me(resumed)).email == email

    other = await client.login(email=email, password=PASSWORD)
    sessions = (await client.list_sessions(resumed)).items
    assert [one.current for one in sessions] == [False, True]
    await client.end_session(resumed, sessions[0].id)
    with pytest.raises(TokenError, match="invalid_grant"):
        await client.refresh(other.refresh_token)
    await client.revoke(resumed)
    with pytest.raises(TokenError, match="invalid_grant"):
        await resumed.renew(resumed.tokens.access_token)


async def test_codes_recovery_codes_and_a_new_password(system, client, email):
    await verify_address(system, client, email)
    token = await client.open_session(email=email, password=PASSWORD)
    setup = await client.set_up_totp(token)
    codes = await client.confirm_totp(token, code_of(setup.secret))
    assert (await client.get_totp(token)).recovery_codes_left == len(codes.recovery_codes)
    with pytest.raises(ProblemError) as asked:
        await client.login(email=email, password=PASSWORD)
    assert asked.value.name == "totp-required"
    code = codes.recovery_codes[0]
    again = await client.open_session(email=email, password=PASSWORD, totp=code)
    with pytest.raises(ProblemError):
        await client.login(email=email, password=PASSWORD, totp=code)
    await client.change_password(again, current=PASSWORD, new=f"{PASSWORD}, again")
    await client.remove_totp(again)
    assert (await client.login(email=email, password=f"{PASSWORD}, again")).access_token


class Authenticator:
    """A browser with one passkey."""

    def __init__(self):
        self._browser = Browser(origin="http://localhost:8000")

    async def create(self, options, /):
        return self._browser.create(options)

    async def get(self, options, /):
        return self._browser.get(options, self._browser.passkeys[0])


async def test_a_passkey_is_added_used_and_removed(system, client, email):
    await verify_address(system, client, email)
    token = await client.open_session(email=email, password=PASSWORD)
    authenticator = Authenticator()
    passkey = await client.add_passkey(token, name="Phone", authenticator=authenticator)
    token = client.renewing(await client.login_with_passkey(authenticator))
    assert (await client.me(token)).email == email
    assert (await client.rename_passkey(token, passkey.id, "Old phone")).name == "Old phone"
    await client.remove_passkey(token, passkey.id)
    assert (await client.list_passkeys(token)).items == ()
    with pytest.raises(ProblemError):
        await client.login_with_passkey(authenticator)


async def test_notifications_are_counted_and_read(client, email, product):
    token = await client.open_session(email=email, password=PASSWORD)
    async with client.follow(token, last_event_id=0) as feed, asyncio.timeout(30):
        await Customer(token=token, client=client).order(product.id)
        item = await anext(feed)
    assert await client.count_unread(token) == 1
    read = await client.mark_read(token, item.data["id"])
    assert read.read_at is not None
    assert await client.mark_read(token, read.id) == read
    assert await client.count_unread(token) == 0
    assert (await client.list_notifications(token, unread=True)).items == ()


async def test_each_command_of_a_socket_is_answered_through_the_gateway(client, email, product):
    token = await client.open_session(email=email, password=PASSWORD)
    customer = Customer(token=token, client=client)
    async with client.feed(await token.access_token()) as feed, asyncio.timeout(60):
        await feed.ping()
        await customer.order(product.id)
        item = await anext(feed)
        await feed.choose_categories(["security"])
        await customer.order(product.id)
        read = await feed.mark_read(item.data["id"])
        assert (str(read.id), read.read_at is None) == (item.data["id"], False)
        newer = await token.renew(token.tokens.access_token)
        assert await feed.renew(newer) > datetime.now(UTC)
        with pytest.raises(CommandError) as refused:
            await feed.mark_read(uuid.uuid4())
        assert refused.value.name == "notification-not-found"
        with pytest.raises(CommandError, match="malformed-message"):
            await feed.choose_categories(["no such category"])
        assert feed.event_id == item.event_id
    assert await client.count_unread(token) == 1


async def test_a_stream_has_the_items_of_the_socket_and_resumes(client, email, product):
    token = await client.open_session(email=email, password=PASSWORD)
    customer = Customer(token=token, client=client)
    following = client.follow(token, last_event_id=0, backoff=QUICK, over="stream")
    async with following as feed, asyncio.timeout(60):
        await customer.order(product.id)
        first = await anext(feed)
    await customer.order(product.id)
    access = await token.access_token()
    async with (
        client.stream(access, last_event_id=first.event_id) as stream,
        client.feed(access, last_event_id=0) as socket,
        asyncio.timeout(60),
    ):
        second = await anext(stream)
        assert [await anext(socket), await anext(socket)] == [first, second]
    assert [first.event_id, second.event_id] == [1, 2]


async def test_a_change_of_an_older_version_is_refused(client, email):
    token = await client.open_session(email=email, password=PASSWORD)
    me = await client.me(token)
    changed = await client.update_me(token, full_name="Ada King", version=me.version)
    assert changed.full_name == "Ada King"
    with pytest.raises(ProblemError) as refused:
        await client.update_me(token, full_name="Ada Byron", version=me.version)
    assert refused.value.status == 412
    await client.delete_me(token)
    with pytest.raises(ProblemError):
        await client.login(email=email, password=PASSWORD)
