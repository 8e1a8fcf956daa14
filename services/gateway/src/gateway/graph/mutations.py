"""The fields of `Mutation`: the use cases of the REST API, one request to a service each.

They run one after the other. One that fails is null, with an error; the later ones run all the
same.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import strawberry

from chassis.errors import FieldError, Invalid
from chassis.wire_names import IDEMPOTENCY_KEY, MERGE_PATCH
from gateway.graph.context import Row, id_in_path
from gateway.graph.objects import Info, Notification, Order, Preferences, User, field_of
from gateway.graph.scalars import BigInt

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

IfMatch = Annotated[
    int | None,
    strawberry.argument(description="Change it only if it still has this `version`."),
]
OptionalKey = Annotated[
    strawberry.ID | None,
    strawberry.argument(description="A repetition with the same key has no further effect."),
]
Reason = Annotated[str | None, strawberry.argument(description="The order's history keeps it.")]


@strawberry.input(description="How many of which product.")
class NewItem:
    """A line of an order to place."""

    product_id: strawberry.ID
    quantity: int


@strawberry.input(description="Where an order goes.")
class AddressInput:
    """An address."""

    name: str
    line1: str
    line2: str | None = strawberry.UNSET
    city: str
    postal_code: str
    country: str = strawberry.field(description="ISO 3166-1 alpha-2.")


@strawberry.input(description="Which channels of a category are on. What is left out is on.")
class ChannelSwitchesInput:
    """The channels of a category."""

    in_app: bool = True
    email: bool = True
    webhook: bool = True


@strawberry.input(description="The preferences that replace the present ones, as a whole.")
class PreferencesInput:
    """Preferences."""

    orders: ChannelSwitchesInput | None = strawberry.UNSET
    security: ChannelSwitchesInput | None = strawberry.UNSET
    announcements: ChannelSwitchesInput | None = strawberry.UNSET
    locale: str | None = strawberry.UNSET


def _given(value: Any) -> Any:  # noqa: ANN401 - an input object, or a part of one
    """Return an input object as JSON, without the members that were left out."""
    if is_dataclass(value):
        pairs = {each.name: getattr(value, each.name) for each in fields(value)}
        return {name: _given(part) for name, part in pairs.items() if part is not strawberry.UNSET}
    return [_given(part) for part in value] if isinstance(value, list) else value


def _etag(version: int | None) -> str | None:
    return None if version is None else f'"{version}"'


def _key(value: str | None) -> str | None:
    if value is None or _KEY.fullmatch(value) is not None:
        return value
    field = FieldError(detail="must be 1 to 255 printable ASCII characters", header=IDEMPOTENCY_KEY)
    message = "The idempotencyKey must be 1 to 255 printable ASCII characters without spaces."
    raise Invalid(message, errors=[field])


type Transition = Callable[..., Coroutine[Any, Any, Row]]


def _transition(verb: str) -> Transition:
    """Return the resolver of a mutation that changes the status of an order."""

    async def advance(
        info: Info,
        *,
        id: strawberry.ID,  # noqa: A002 - its name in the schema
        if_match: IfMatch = None,
        reason: Reason = None,
        idempotency_key: OptionalKey = None,
    ) -> Row:
        row: Row = await info.context.change(
            "orders",
            "POST",
            f"/api/v1/orders/{id_in_path(id)}/{verb}",
            body=None if reason is None else {"reason": reason},
            fields={"If-Match": _etag(if_match), IDEMPOTENCY_KEY: _key(idempotency_key)},
        )
        return row

    return advance


def _of_support(verb: str) -> Any:  # noqa: ANN401 - a field of strawberry
    description = f"{verb.capitalize()} an order. Scope: `orders:fulfil`."
    return field_of(Order | None, description)(_transition(verb))


@strawberry.type
class Mutation:
    """What can be changed."""

    @field_of(Order | None, "Place an order, at the prices of the catalogue.")
    async def place_order(
        self,
        info: Info,
        *,
        idempotency_key: Annotated[
            strawberry.ID,
            strawberry.argument(
                description="A unique text of your own. A repetition with the same key returns the "
                "first order."
            ),
        ],
        items: list[NewItem],
        shipping_address: AddressInput,
    ) -> Row:
        """Place an order."""
        row: Row = await info.context.change(
            "orders",
            "POST",
            "/api/v1/orders",
            body={"items": _given(items), "shipping_address": _given(shipping_address)},
            fields={IDEMPOTENCY_KEY: _key(idempotency_key)},
        )
        return row

    cancel_order: Any = field_of(
        Order | None, "Cancel one of your orders; with the scope `orders:fulfil` anybody's."
    )(_transition("cancel"))
    confirm_order: Any = _of_support("confirm")
    ship_order: Any = _of_support("ship")
    deliver_order: Any = _of_support("deliver")
    refund_order: Any = _of_support("refund")

    @field_of(Notification | None, "Mark one of your notifications as read.")
    async def mark_notification_read(self, info: Info, id: strawberry.ID) -> Row:  # noqa: A002 - its name in the schema
        """Mark a notification as read."""
        path = f"/api/v1/notifications/{id_in_path(id)}/read"
        row: Row = await info.context.change("notifications", "POST", path)
        return row

    @field_of(
        int | None, "Mark your notifications as read; returns how many are unread after that."
    )
    async def mark_all_notifications_read(
        self,
        info: Info,
        *,
        last_event_id: Annotated[
            BigInt | None, strawberry.argument(description="Newer ones stay unread.")
        ] = None,
    ) -> int:
        """Mark all notifications as read."""
        body = None if last_event_id is None else {"last_event_id": last_event_id}
        path = "/api/v1/notifications/read-all"
        row = await info.context.change("notifications", "POST", path, body=body)
        count: int = row["unread"]
        return count

    @field_of(
        User | None, "Change your own data. A new e-mail address takes effect when it is confirmed."
    )
    async def update_profile(
        self,
        info: Info,
        *,
        full_name: str | None = None,
        email: str | None = None,
        if_match: IfMatch = None,
    ) -> Row:
        """Change the caller's account."""
        patch = {"full_name": full_name, "email": email}
        row: Row = await info.context.change(
            "users",
            "PATCH",
            "/api/v1/users/me",
            body={name: value for name, value in patch.items() if value is not None},
            fields={"If-Match": _etag(if_match)},
            media_type=MERGE_PATCH,
        )
        return row

    @field_of(Preferences | None, "Replace your preferences as a whole.")
    async def update_preferences(
        self, info: Info, *, preferences: PreferencesInput, if_match: IfMatch = None
    ) -> Row:
        """Replace the preferences."""
        version = {} if if_match is None else {"version": if_match}
        row: Row = await info.context.change(
            "notifications",
            "PUT",
            "/api/v1/notifications/preferences",
            body=_given(preferences) | version,
        )
        return row
