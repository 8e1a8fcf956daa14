"""Each call sends what the API accepts, and parses what it returns."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest

from client import (
    Address,
    AnswerError,
    FeedError,
    Money,
    NewOrder,
    NewProduct,
    NewTransition,
    OrderItem,
    ProblemError,
    ProductChanges,
    SlipwayClient,
)

ID = UUID("01990000-0000-7000-8000-000000000001")


async def test_an_account_is_registered_logged_in_and_read(api: SlipwayClient) -> None:
    user = await api.register(email="a@example.com", password="long enough, too", full_name="A")
    assert (user.id, user.email, user.roles) == (ID, "a@example.com", ())

    tokens = await api.login(email="a@example.com", password="long enough, too")
    assert (tokens.access_token, tokens.expires_in) == ("a", 600)
    assert "access_token" not in repr(tokens)

    assert (await api.me(tokens.access_token)).email == "Bearer a"
    changed = await api.update_user_roles("a", user.id, ("customer", "support"))
    assert changed.roles == ("customer", "support")


async def test_the_data_of_a_user_are_exported(api: SlipwayClient) -> None:
    export = (await api.export_me("a")).root
    assert export["users"]["accounts"] == [{"email": "Bearer a"}]
    assert export["orders"] == {"orders": []}


async def test_a_session_is_continued_and_ended(api: SlipwayClient) -> None:
    assert (await api.refresh("r")).refresh_token == "s"
    with pytest.raises(AnswerError, match="invalid_grant"):
        await api.refresh("used")
    await api.revoke("r")
    with pytest.raises(AnswerError):
        await api.revoke("")


async def test_an_api_key_is_created_listed_and_revoked(api: SlipwayClient) -> None:
    created = await api.create_api_key("a", name="Shop", scopes=["orders:read"])
    assert (created.api_key, created.scopes) == ("secret", ("orders:read",))
    assert "secret" not in repr(created)
    assert created.name == "Shop name scopes", "a time that is not given is not sent"
    later = datetime(2030, 1, 1, tzinfo=UTC)
    timed = await api.create_api_key("a", name="Shop", scopes=[], expires_at=later)
    assert timed.expires_at == later

    page = await api.list_api_keys("a", limit=3)
    assert (page.items[0].name, page.items[0].revoked_at) == ("3", None)
    await api.revoke_api_key("a", ID)
    with pytest.raises(ProblemError, match="api-key-not-found"):
        await api.revoke_api_key("a", UUID(int=2))


async def test_an_account_is_deactivated_and_its_owner_changes_the_password_and_leaves(
    api: SlipwayClient,
) -> None:
    user = await api.set_user_active("a", ID, active=False)
    assert user.full_name == "is_active False"

    await api.change_password("a", current="long enough, too", new="something longer")
    with pytest.raises(ProblemError) as refused:
        await api.change_password("a", current="wrong", new="something longer")
    assert (refused.value.status, refused.value.name) == (403, "wrong-password")
    await api.delete_me("a")


async def test_the_catalogue_is_read_and_extended(api: SlipwayClient) -> None:
    page = await api.list_products(q="rope", limit=5)
    assert (page.items[0].sku, page.next_cursor) == ("ROPE", "more")

    product = NewProduct(
        sku="OAR", name="Oar", description="", price=Money(amount=1, currency="EUR"), stock=1
    )
    assert (await api.create_product("a", product)).sku == "OAR"
    unsold = product.model_copy(update={"active": False})
    assert (await api.create_product("a", unsold)).active is False


async def test_a_product_is_read_and_changed(api: SlipwayClient) -> None:
    product = await api.get_product(ID)
    assert (product.sku, product.version, product.active) == ("ROPE", 4, True)

    changes = ProductChanges(active=False, price=Money(amount=2, currency="CHF"))
    changed = await api.update_product("a", ID, changes, version=product.version)
    assert (changed.active, changed.price.amount) == (False, 2)
    assert changed.description == "['active', 'price'] \"4\"", "what is not set is not sent"
    unchanged = await api.update_product("a", ID, ProductChanges())
    assert unchanged.description == "[] None"


async def test_a_stock_is_set_adjusted_and_explained(api: SlipwayClient) -> None:
    product = await api.set_stock("a", ID, stock=5, reason="counted", version=4)
    assert (product.stock, product.name) == (5, 'counted "4"')

    adjustment = await api.adjust_stock("a", ID, delta=-2, reason="broken", idempotency_key="k")
    assert (adjustment.delta, adjustment.stock, adjustment.reason) == (-2, 9, "broken k")
    assert (await api.adjust_stock("a", ID, delta=1, reason="x")).reason == "x None"

    page = await api.list_stock_adjustments("a", ID, limit=7)
    assert (page.items[0].delta, page.items[0].actor_id) == (7, None)


async def test_an_order_carries_its_key_and_further_headers(api: SlipwayClient) -> None:
    order = NewOrder(
        items=(OrderItem(product_id=ID, quantity=2),),
        shipping_address=Address(name="A", line1="1", city="B", postal_code="2", country="DE"),
    )
    placed = await api.place_order("a", order, idempotency_key="k", headers={"traceparent": "t"})
    assert placed.status == "k t"
    assert (await api.get_order("a", ID)).total.amount == 10


async def test_an_order_is_advanced_with_a_reason_at_a_version(api: SlipwayClient) -> None:
    for verb, advance in {
        "cancel": api.cancel_order,
        "confirm": api.confirm_order,
        "ship": api.ship_order,
        "deliver": api.deliver_order,
        "refund": api.refund_order,
    }.items():
        order = await advance("a", ID)
        assert (order.id, order.status, order.version) == (ID, f"{verb} None None", 2)
        order = await advance("a", ID, reason="late", version=1)
        assert order.status == f'{verb} late "1"'


async def test_orders_are_advanced_in_one_call_with_a_result_each(api: SlipwayClient) -> None:
    other = UUID(int=2)
    changed, missing = await api.transition_orders(
        "a",
        [
            NewTransition(order_id=ID, to="shipped", version=2, reason="on board"),
            NewTransition(order_id=other, to="shipped"),
        ],
    )
    assert (changed.order_id, changed.status, changed.version) == (ID, "shipped", 3)
    assert changed.error is None
    assert (missing.order_id, missing.status, missing.version) == (other, None, None)
    assert missing.error is not None
    assert (missing.error.status, missing.error.name) == (404, "not-found")


async def test_the_history_of_an_order_names_who_changed_it(api: SlipwayClient) -> None:
    placed, cancelled = await api.order_history("a", ID)
    assert (placed.version, placed.status, placed.reason) == (1, "placed", None)
    assert (placed.actor.kind, placed.actor.id) == ("user", ID)
    assert (cancelled.actor.kind, cancelled.actor.id) == ("system", None)
    assert cancelled.reason == "not_confirmed"


async def test_orders_are_listed_and_counted_if_asked_for(api: SlipwayClient) -> None:
    page = await api.list_orders("a")
    assert (page.items[0].status, page.next_cursor, page.total) == ("['limit']", "more", None)
    page = await api.list_orders(
        "a", status="placed", customer_id=ID, total=True, limit=5, cursor="more"
    )
    assert page.items[0].status == "['cursor', 'customer_id', 'limit', 'status', 'total']"
    assert page.total == 7


async def test_notifications_are_read(api: SlipwayClient) -> None:
    page = await api.list_notifications("a")
    assert page.items[0].data == {"order_id": str(ID)}


async def test_a_problem_is_raised_with_all_it_says(api: SlipwayClient) -> None:
    with pytest.raises(ProblemError, match="409 email-taken: It has an account") as caught:
        await api.register(email="taken@example.com", password="x", full_name="A")
    problem = caught.value
    assert (problem.status, problem.name, problem.request_id) == (409, "email-taken", "r-1")

    with pytest.raises(
        ProblemError, match="/email: no address; Idempotency-Key: missing"
    ) as caught:
        await api.register(email="wrong", password="x", full_name="A")
    assert caught.value.errors[0].pointer == "/email"


async def test_a_response_of_another_shape_is_named(api: SlipwayClient) -> None:
    with pytest.raises(AnswerError, match="returned 502 without a problem document: 'lost'"):
        await api.get_order("a", UUID(int=0))
    with pytest.raises(AnswerError, match="returned 200 without a valid Page"):
        await api.list_notifications("a", unread=True)


async def test_a_gateway_on_this_machine_is_reached_past_a_proxy(
    served: SlipwayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy can't reach this machine's loopback. Browsers bypass the proxy as well."""
    set_proxy_variables(monkeypatch)
    async with SlipwayClient(served._base_url) as client:
        assert (await client.me("a")).email == "Bearer a"
        async with client.feed("a") as feed:
            assert feed.event_id is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_this_machine_has_several_names(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_proxy_variables(monkeypatch)
    async with SlipwayClient(f"http://{host}:1") as client:
        with pytest.raises(httpx.ConnectError) as refused:
            await client.me("a")
        with pytest.raises(FeedError) as unopened:
            await client.feed("a").__aenter__()
    assert "proxy" not in f"{refused.value!r} {unopened.value!r}".lower()


@pytest.mark.parametrize(("trust_env", "proxied"), [(True, True), (False, False)])
async def test_a_gateway_elsewhere_is_reached_as_the_environment_says(
    trust_env: bool, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heads.put(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        set_proxy_variables(monkeypatch, port=server.sockets[0].getsockname()[1])
        async with SlipwayClient("http://gateway.invalid", trust_env=trust_env) as client:
            with pytest.raises(httpx.HTTPError):
                await client.me("a")
    assert heads.qsize() == int(proxied)


def set_proxy_variables(monkeypatch: pytest.MonkeyPatch, *, port: int = 9) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
