"""Each operation of the API's document has a call that sends and reads what it describes."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from client import (
    Address,
    ChannelSwitches,
    Money,
    NewAnnouncement,
    NewItem,
    NewOrder,
    NewPreferences,
    NewProduct,
    NewTransition,
    NewWebhook,
    OrderStatus,
    ProductChanges,
    SlipwayClient,
    WebhookChanges,
)

from .documented import SAMPLES, Document, DocumentedApi

type Call = Callable[[SlipwayClient], Awaitable[object]]

ID = UUID(SAMPLES["uuid"])
AT = datetime(2026, 1, 2, tzinfo=UTC)
PASSWORD = "correct horse battery"
MONEY = Money(amount=1999, currency="EUR")
PRODUCT = NewProduct(sku="OAR", name="Oar", description="Ash", price=MONEY, stock=1)
ORDER = NewOrder(
    items=(NewItem(product_id=ID, quantity=2),),
    shipping_address=Address(name="A", line1="1", city="B", postal_code="2", country="DE"),
)
PAGE: dict[str, Any] = {"limit": 5, "cursor": "next"}
NO_CALL = {
    "readKeys": "verifies access tokens, which a client passes on unread",
    "streamNotifications": "has no end: `stream` is tested by itself",
    "getUnsubscription": "is for the reader of a mail, who has its link",
    "unsubscribe": "likewise",
    "readServerMetadata": "is for OAuth libraries",
}


class BrowserStub:
    """An authenticator that returns credentials of the right shape."""

    async def create(self, _: dict[str, Any], /) -> dict[str, Any]:
        response = {"clientDataJSON": "c", "attestationObject": "a"}
        return {"id": "x", "rawId": "x", "type": "public-key", "response": response}

    async def get(self, _: dict[str, Any], /) -> dict[str, Any]:
        response = {"clientDataJSON": "c", "authenticatorData": "a", "signature": "s"}
        return {"id": "x", "rawId": "x", "type": "public-key", "response": response}


CALLS: dict[str, Call] = {
    "registerUser": lambda api: api.register(
        email="a@example.com", password=PASSWORD, full_name="A"
    ),
    "listUsers": lambda api: api.list_users(
        "t", q="a", role="admin", is_active=True, created_after=AT, created_before=AT, **PAGE
    ),
    "readMe": lambda api: api.me("t"),
    "updateMe": lambda api: api.update_me("t", full_name="B", email="b@example.com", version=1),
    "deleteMe": lambda api: api.delete_me("t", version=3),
    "readUser": lambda api: api.get_user("t", ID),
    "updateUser": lambda api: api.update_user_roles("t", ID, ["support"], version=1),
    "changePassword": lambda api: api.change_password("t", current=PASSWORD, new=PASSWORD + "!"),
    "logIn": lambda api: api.login(email="a@example.com", password=PASSWORD, totp="123456"),
    "refreshToken": lambda api: api.refresh("r"),
    "revokeToken": lambda api: api.revoke("r"),
    "listSessions": lambda api: api.list_sessions("t", **PAGE),
    "endAllSessions": lambda api: api.end_all_sessions("t"),
    "endSession": lambda api: api.end_session("t", ID),
    "createApiKey": lambda api: api.create_api_key(
        "t", name="Shop", scopes=["orders:read"], expires_at=AT
    ),
    "listApiKeys": lambda api: api.list_api_keys("t", **PAGE),
    "readApiKey": lambda api: api.get_api_key("t", ID),
    "revokeApiKey": lambda api: api.revoke_api_key("t", ID),
    "requestEmailVerification": lambda api: api.request_email_verification("a@example.com"),
    "confirmEmail": lambda api: api.confirm_email("m" * 43),
    "requestPasswordReset": lambda api: api.request_password_reset("a@example.com"),
    "resetPassword": lambda api: api.reset_password("m" * 43, new=PASSWORD),
    "listAudit": lambda api: api.list_audit(
        "t", action="a", subject="user:1", actor=ID, since=AT, before=AT, **PAGE
    ),
    "readTotp": lambda api: api.get_totp("t"),
    "setUpTotp": lambda api: api.set_up_totp("t"),
    "removeTotp": lambda api: api.remove_totp("t"),
    "confirmTotp": lambda api: api.confirm_totp("t", "123456"),
    "addPasskey": lambda api: api.add_passkey("t", name="Key", authenticator=BrowserStub()),
    "listPasskeys": lambda api: api.list_passkeys("t"),
    "renamePasskey": lambda api: api.rename_passkey("t", ID, "Other"),
    "removePasskey": lambda api: api.remove_passkey("t", ID),
    "logInWithPasskey": lambda api: api.login_with_passkey(BrowserStub()),
    "listProducts": lambda api: api.list_products(q="rope", **PAGE),
    "createProduct": lambda api: api.create_product("t", PRODUCT, idempotency_key="k"),
    "getProduct": lambda api: api.get_product(ID),
    "updateProduct": lambda api: api.update_product(
        "t", ID, ProductChanges(active=False), version=1
    ),
    "setStock": lambda api: api.set_stock("t", ID, stock=5, reason="counted", version=4),
    "adjustStock": lambda api: api.adjust_stock("t", ID, delta=-2, reason="broken", version=4),
    "listStockAdjustments": lambda api: api.list_stock_adjustments("t", ID, **PAGE),
    "placeOrder": lambda api: api.place_order("t", ORDER),
    "listOrders": lambda api: api.list_orders(
        "t",
        status=OrderStatus.PLACED,
        customer_id=ID,
        created_after=AT,
        created_before=AT,
        total=True,
        **PAGE,
    ),
    "getOrder": lambda api: api.get_order("t", ID),
    "cancelOrder": lambda api: api.cancel_order("t", ID, reason="late", version=1),
    "confirmOrder": lambda api: api.confirm_order("t", ID),
    "shipOrder": lambda api: api.ship_order("t", ID, version=2),
    "deliverOrder": lambda api: api.deliver_order("t", ID, reason="signed for"),
    "refundOrder": lambda api: api.refund_order("t", ID),
    "transitionOrders": lambda api: api.transition_orders(
        "t", [NewTransition(order_id=ID, to=OrderStatus.SHIPPED, version=2, reason="on board")]
    ),
    "getOrderHistory": lambda api: api.order_history("t", ID),
    "listNotifications": lambda api: api.list_notifications("t", unread=True, **PAGE),
    "countUnreadNotifications": lambda api: api.count_unread("t"),
    "markNotificationRead": lambda api: api.mark_read("t", ID),
    "markAllNotificationsRead": lambda api: api.mark_all_read("t", last_event_id=7),
    "createStreamTicket": lambda api: api.create_stream_ticket("t"),
    "getNotificationPreferences": lambda api: api.get_preferences("t"),
    "replaceNotificationPreferences": lambda api: api.replace_preferences(
        "t", NewPreferences(orders=ChannelSwitches(email=False), locale="de", version=1)
    ),
    "publishAnnouncement": lambda api: api.publish_announcement(
        "t", NewAnnouncement(title="Closed", body="On Monday.", data={"url": "x"}, expires_at=AT)
    ),
    "listAnnouncements": lambda api: api.list_announcements("t", **PAGE),
    "getAnnouncement": lambda api: api.get_announcement("t", ID),
    "withdrawAnnouncement": lambda api: api.withdraw_announcement("t", ID),
    "createWebhook": lambda api: api.create_webhook(
        "t", NewWebhook(url="https://example.com/hook", types=("order.placed",))
    ),
    "listWebhooks": lambda api: api.list_webhooks("t", **PAGE),
    "getWebhook": lambda api: api.get_webhook("t", ID),
    "updateWebhook": lambda api: api.update_webhook(
        "t", ID, WebhookChanges(enabled=True), version=1
    ),
    "deleteWebhook": lambda api: api.delete_webhook("t", ID),
    "rotateWebhookSecret": lambda api: api.rotate_webhook_secret("t", ID, version=1),
    "testWebhook": lambda api: api.test_webhook("t", ID),
    "listDeliveries": lambda api: api.list_deliveries("t", ID, **PAGE),
    "getDelivery": lambda api: api.get_delivery("t", ID, ID),
    "redeliver": lambda api: api.redeliver("t", ID, ID),
    "replaceRecoveryCodes": lambda api: api.replace_recovery_codes("t"),
    "exportMe": lambda api: api.export_me("t"),
}
KEYED: dict[str, Call] = {
    "createProduct": lambda api: api.create_product("t", PRODUCT, idempotency_key="k"),
    "adjustStock": lambda api: api.adjust_stock(
        "t", ID, delta=1, reason="found", idempotency_key="k"
    ),
    "placeOrder": lambda api: api.place_order("t", ORDER, idempotency_key="k"),
    "cancelOrder": lambda api: api.cancel_order("t", ID, idempotency_key="k"),
    "confirmOrder": lambda api: api.confirm_order("t", ID, idempotency_key="k"),
    "shipOrder": lambda api: api.ship_order("t", ID, idempotency_key="k"),
    "deliverOrder": lambda api: api.deliver_order("t", ID, idempotency_key="k"),
    "refundOrder": lambda api: api.refund_order("t", ID, idempotency_key="k"),
    "transitionOrders": lambda api: api.transition_orders(
        "t", [NewTransition(order_id=ID, to=OrderStatus.SHIPPED)], idempotency_key="k"
    ),
    "publishAnnouncement": lambda api: api.publish_announcement(
        "t", NewAnnouncement(title="Closed", body="On Monday."), idempotency_key="k"
    ),
}
PRECEDED = {  # the call of another operation makes them, too
    "addPasskey": "createPasskeyOptions",
    "logInWithPasskey": "createPasskeyLogInOptions",
}


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_sends_and_reads_what_the_document_describes(
    documented: DocumentedApi, typed: SlipwayClient, operation: str
) -> None:
    await CALLS[operation](typed)
    before = [PRECEDED[operation]] if operation in PRECEDED else []
    assert documented.called == [*before, operation]


# An export is a map of lists: each member is one.
@pytest.mark.parametrize("operation", sorted(CALLS.keys() - {"exportMe"}))
async def test_a_member_that_a_newer_server_has_added_is_ignored(
    documented: DocumentedApi, typed: SlipwayClient, operation: str
) -> None:
    documented.newer = True
    await CALLS[operation](typed)


def test_each_operation_has_a_call() -> None:
    assert Document().operations.keys() - NO_CALL.keys() == {*CALLS, *PRECEDED.values()}


async def test_a_change_sends_only_what_is_set(
    documented: DocumentedApi, typed: SlipwayClient
) -> None:
    await typed.update_product("t", ID, ProductChanges(price=MONEY))
    assert documented.body == {"price": {"amount": 1999, "currency": "EUR"}}
    assert "If-Match" not in documented.headers
    await typed.set_user_active("t", ID, active=False, version=7)
    assert (documented.body, documented.headers["If-Match"]) == ({"is_active": False}, '"7"')
    await typed.login(email="a@example.com", password=PASSWORD)
    assert "totp" not in documented.body


async def test_an_order_carries_its_key_and_further_headers(
    documented: DocumentedApi, typed: SlipwayClient
) -> None:
    await typed.place_order("t", ORDER, idempotency_key="k", headers={"traceparent": "tp"})
    sent = documented.headers
    assert (sent["Idempotency-Key"], sent["traceparent"]) == ("k", "tp")
    assert sent["Authorization"] == "Bearer t"
    await typed.place_order("t", ORDER)
    first = documented.headers["Idempotency-Key"]
    await typed.place_order("t", ORDER)
    assert documented.headers["Idempotency-Key"] != first, "two calls are two orders"


def test_each_operation_with_a_key_has_a_call_that_takes_one() -> None:
    keyed = {
        name
        for name, (_, _, operation) in Document().operations.items()
        for one in operation.get("parameters", [])
        if one["name"].lower() == "idempotency-key"
    }
    assert keyed - NO_CALL.keys() == KEYED.keys()


@pytest.mark.parametrize("operation", KEYED)
async def test_a_caller_s_own_key_is_sent(
    documented: DocumentedApi, typed: SlipwayClient, operation: str
) -> None:
    await KEYED[operation](typed)
    assert (documented.called, documented.headers["Idempotency-Key"]) == ([operation], "k")


async def test_secrets_are_not_part_of_what_is_logged(typed: SlipwayClient) -> None:
    for shown, secret in (
        (await typed.login(email="a@example.com", password=PASSWORD), "access_token"),
        (await typed.create_api_key("t", name="Shop", scopes=["orders:read"]), "api_key="),
        (await typed.set_up_totp("t"), "secret"),
        (await typed.confirm_totp("t", "123456"), "text"),
    ):
        assert secret not in repr(shown)


async def test_a_value_of_a_newer_server_stays_a_text(
    documented: DocumentedApi, typed: SlipwayClient
) -> None:
    assert (await typed.get_order("t", ID)).status is OrderStatus.PLACED
    documented.answers["getOrder"] = {"status": "returned", "weight": 3}
    assert (await typed.get_order("t", ID)).status == "returned"
