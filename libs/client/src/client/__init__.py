"""A small typed client of the public API, for Python callers: demo, seed, tests, scripts."""

from client.api import SlipwayClient
from client.errors import AnswerError, FeedError, ProblemError
from client.feed import Feed
from client.models import (
    Address,
    FeedItem,
    FieldError,
    Money,
    NewOrder,
    NewProduct,
    Notification,
    Order,
    OrderItem,
    Page,
    Product,
    Tokens,
    User,
)

__all__ = [
    "Address",
    "AnswerError",
    "Feed",
    "FeedError",
    "FeedItem",
    "FieldError",
    "Money",
    "NewOrder",
    "NewProduct",
    "Notification",
    "Order",
    "OrderItem",
    "Page",
    "ProblemError",
    "Product",
    "SlipwayClient",
    "Tokens",
    "User",
]
