"""Each call sends what the API takes and reads what it answers."""

from uuid import UUID

import pytest

from client import (
    Address,
    AnswerError,
    Money,
    NewOrder,
    NewProduct,
    OrderItem,
    ProblemError,
    SlipwayClient,
)

ID = UUID("01990000-0000-7000-8000-000000000001")


async def test_an_account_is_registered_logged_in_and_read(api: SlipwayClient) -> None:
    user = await api.register(email="a@example.com", password="long enough", full_name="A")
    assert (user.id, user.email, user.roles) == (ID, "a@example.com", ())

    tokens = await api.login(email="a@example.com", password="long enough")
    assert (tokens.access_token, tokens.expires_in) == ("a", 600)
    assert "access_token" not in repr(tokens)

    assert (await api.me(tokens.access_token)).email == "Bearer a"
    changed = await api.update_user_roles("a", user.id, ("customer", "support"))
    assert changed.roles == ("customer", "support")


async def test_the_catalogue_is_read_and_extended(api: SlipwayClient) -> None:
    page = await api.list_products(q="rope", limit=5)
    assert (page.items[0].sku, page.next_cursor) == ("ROPE", "more")

    product = NewProduct(
        sku="OAR", name="Oar", description="", price=Money(amount=1, currency="EUR"), stock=1
    )
    assert (await api.create_product("a", product)).sku == "OAR"


async def test_an_order_carries_its_key_and_further_headers(api: SlipwayClient) -> None:
    order = NewOrder(
        items=(OrderItem(product_id=ID, quantity=2),),
        shipping_address=Address(name="A", line1="1", city="B", postal_code="2", country="DE"),
    )
    placed = await api.place_order("a", order, idempotency_key="k", headers={"traceparent": "t"})
    assert placed.status == "k t"
    assert (await api.get_order("a", ID)).total.amount == 10


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


async def test_an_answer_of_another_shape_is_named(api: SlipwayClient) -> None:
    with pytest.raises(AnswerError, match="answered 502, but sent no problem document: 'lost'"):
        await api.get_order("a", UUID(int=0))
    with pytest.raises(AnswerError, match="answered 200, but not with a Page"):
        await api.list_notifications("a", unread=True)
