"""What each service announces: topics and events, one module per producing service."""

from contracts.base import Event, Money, Topic
from contracts.notifications import NOTIFICATIONS
from contracts.orders import ORDERS
from contracts.users import USERS

TOPICS: tuple[Topic, ...] = (USERS, ORDERS, NOTIFICATIONS)

__all__ = ["TOPICS", "Event", "Money", "Topic"]
