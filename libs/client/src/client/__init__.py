"""A typed client of the public API, for Python callers: demo, seed, tests and scripts."""

from client.accounts import Export, Role, User
from client.announcements import Announcement, NewAnnouncement
from client.api import SlipwayClient
from client.api_keys import ApiKey, CreatedApiKey
from client.audit import AuditActor, AuditEntry
from client.catalog import NewProduct, Product, ProductChanges, StockAdjustment
from client.errors import (
    AnswerError,
    ClientError,
    CommandError,
    DeadlineError,
    FeedError,
    ProblemError,
    TokenError,
)
from client.feed import Feed
from client.following import FollowedFeed
from client.items import Connected, FeedItem
from client.notifications import Notification, StreamTicket
from client.orders import (
    Address,
    HistoryActor,
    HistoryEntry,
    NewItem,
    NewOrder,
    NewTransition,
    Order,
    OrderItem,
    OrderStatus,
    TransitionProblem,
    TransitionResult,
)
from client.pages import items_of
from client.preferences import ChannelSwitches, NewPreferences, Preferences
from client.retries import Backoff, Retries
from client.second_factors import Authenticator, Passkey, RecoveryCodes, TotpSetup, TotpState
from client.sessions import Session
from client.shapes import ActorKind, CountedPage, FieldError, Money, Page
from client.streams import Stream
from client.tokens import RenewingToken, Token, Tokens, access_token_of
from client.webhooks import (
    Attempt,
    Delivery,
    DeliveryState,
    DisabledReason,
    NewWebhook,
    Webhook,
    WebhookChanges,
    WebhookSecret,
)

__all__ = [
    "ActorKind",
    "Address",
    "Announcement",
    "AnswerError",
    "ApiKey",
    "Attempt",
    "AuditActor",
    "AuditEntry",
    "Authenticator",
    "Backoff",
    "ChannelSwitches",
    "ClientError",
    "CommandError",
    "Connected",
    "CountedPage",
    "CreatedApiKey",
    "DeadlineError",
    "Delivery",
    "DeliveryState",
    "DisabledReason",
    "Export",
    "Feed",
    "FeedError",
    "FeedItem",
    "FieldError",
    "FollowedFeed",
    "HistoryActor",
    "HistoryEntry",
    "Money",
    "NewAnnouncement",
    "NewItem",
    "NewOrder",
    "NewPreferences",
    "NewProduct",
    "NewTransition",
    "NewWebhook",
    "Notification",
    "Order",
    "OrderItem",
    "OrderStatus",
    "Page",
    "Passkey",
    "Preferences",
    "ProblemError",
    "Product",
    "ProductChanges",
    "RecoveryCodes",
    "RenewingToken",
    "Retries",
    "Role",
    "Session",
    "SlipwayClient",
    "StockAdjustment",
    "Stream",
    "StreamTicket",
    "Token",
    "TokenError",
    "Tokens",
    "TotpSetup",
    "TotpState",
    "TransitionProblem",
    "TransitionResult",
    "User",
    "Webhook",
    "WebhookChanges",
    "WebhookSecret",
    "access_token_of",
    "items_of",
]
