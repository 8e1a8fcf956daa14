"""A typed client of the public API, for Python callers: demo, seed, tests and scripts."""

from client.accounts import Export, Role, User
from client.api import SlipwayClient
from client.api_keys import ApiKey, CreatedApiKey
from client.audit import AuditActor, AuditEntry
from client.catalog import NewProduct, Product, ProductChanges, StockAdjustment
from client.errors import (
    AnswerError,
    ClientError,
    DeadlineError,
    FeedError,
    ProblemError,
    TokenError,
)
from client.feed import Feed, FeedItem
from client.following import FollowedFeed
from client.notifications import Notification
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
from client.retries import Backoff, Retries
from client.second_factors import Authenticator, Passkey, RecoveryCodes, TotpSetup, TotpState
from client.sessions import Session
from client.shapes import ActorKind, CountedPage, FieldError, Money, Page
from client.tokens import RenewingToken, Token, Tokens, access_token_of

__all__ = [
    "ActorKind",
    "Address",
    "AnswerError",
    "ApiKey",
    "AuditActor",
    "AuditEntry",
    "Authenticator",
    "Backoff",
    "ClientError",
    "CountedPage",
    "CreatedApiKey",
    "DeadlineError",
    "Export",
    "Feed",
    "FeedError",
    "FeedItem",
    "FieldError",
    "FollowedFeed",
    "HistoryActor",
    "HistoryEntry",
    "Money",
    "NewItem",
    "NewOrder",
    "NewProduct",
    "NewTransition",
    "Notification",
    "Order",
    "OrderItem",
    "OrderStatus",
    "Page",
    "Passkey",
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
    "Token",
    "TokenError",
    "Tokens",
    "TotpSetup",
    "TotpState",
    "TransitionProblem",
    "TransitionResult",
    "User",
    "access_token_of",
    "items_of",
]
