"""The models have the fields and the values of the API's document, no more and no fewer."""

from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import client
from client.notifications import UnreadCount
from client.orders import History, TransitionResults
from client.second_factors import PasskeyOptions
from client.sessions import Session
from client.shapes import ActorKind, Answer, FieldError
from client.tokens import Tokens

from .documented import Document

OF_ANOTHER_NAME: dict[str, type[BaseModel]] = {
    "AnnouncementOut": client.Announcement,
    "ApiKeyView": client.ApiKey,
    "AttemptOut": client.Attempt,
    "DeliveryOut": client.Delivery,
    "PreferencesOut": client.Preferences,
    "StreamTicketOut": client.StreamTicket,
    "WebhookOut": client.Webhook,
    "WebhookPatch": client.WebhookChanges,
    "AdjustmentOut": client.StockAdjustment,
    "Item": client.OrderItem,
    "NotificationOut": client.Notification,
    "OrderOut": client.Order,
    "PasskeyView": client.Passkey,
    "ProductOut": client.Product,
    "ProductPatch": client.ProductChanges,
    "ProblemField": FieldError,
    "CountedPage_OrderOut_": client.CountedPage,
    "Page_User_": client.Page,
}
MODELS: dict[str, type[BaseModel]] = OF_ANOTHER_NAME | {
    model.__name__: model
    for model in (
        client.Address,
        client.AuditActor,
        client.AuditEntry,
        client.ChannelSwitches,
        client.CreatedApiKey,
        client.NewAnnouncement,
        client.NewPreferences,
        client.NewWebhook,
        client.WebhookSecret,
        History,
        client.HistoryActor,
        client.HistoryEntry,
        client.Money,
        client.NewItem,
        client.NewOrder,
        client.NewProduct,
        client.NewTransition,
        PasskeyOptions,
        client.RecoveryCodes,
        Session,
        Tokens,
        client.TotpSetup,
        client.TotpState,
        client.TransitionProblem,
        client.TransitionResult,
        TransitionResults,
        UnreadCount,
        client.User,
    )
}
ENUMS: tuple[type[StrEnum], ...] = (ActorKind, client.OrderStatus, client.Role)
BODIES = {"Address", "NewItem", "NewOrder", "NewProduct", "NewTransition", "ProductPatch"}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fields_of_its_schema(name: str) -> None:
    schema, model = Document().schema(name), MODELS[name]
    assert set(model.model_fields) == set(schema["properties"])
    required = {field for field, info in model.model_fields.items() if info.is_required()}
    assert required == set(schema.get("required", ()))


@pytest.mark.parametrize("name", [name for name in MODELS if issubclass(MODELS[name], Answer)])
def test_a_member_of_a_response_is_null_where_the_document_says_so(name: str) -> None:
    properties, model = Document().schema(name)["properties"], MODELS[name]
    described = {field for field, schema in properties.items() if _is_nullable(schema)}
    accepted = {
        field for field, info in model.model_fields.items() if _accepts_null(info.annotation)
    }
    # Browsers get the refresh token as a cookie: then the member is missing.
    assert accepted - ({"refresh_token"} if model is Tokens else set()) == described


def _is_nullable(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", [schema]))


def _accepts_null(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).validate_python(None)
    except ValidationError:
        return False
    return True


def test_the_states_of_a_delivery_are_those_of_its_schema() -> None:
    assert [*client.DeliveryState] == Document().schema("DeliveryOut")["properties"]["state"][
        "enum"
    ]


@pytest.mark.parametrize("enum", ENUMS)
def test_an_enum_has_the_values_of_its_schema(enum: type[StrEnum]) -> None:
    assert [*enum] == Document().schema(enum.__name__)["enum"]


def test_a_request_body_rejects_a_field_that_the_api_does_not_know() -> None:
    for name in BODIES:
        assert MODELS[name].model_config["extra"] == "forbid", name
