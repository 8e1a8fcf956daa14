"""Events by Kafka: outbox and relay out, consumer and inbox in."""

from chassis.messaging.connection import KafkaConnection
from chassis.messaging.consuming.consumer import Consumer
from chassis.messaging.consuming.erasure import erase_parked
from chassis.messaging.consuming.subscriptions import (
    Delivery,
    FailurePolicy,
    Subscription,
    Subscriptions,
)
from chassis.messaging.events import PublicEvent, ReceivedMessage
from chassis.messaging.publishing.outbox import Outbox, insert_events
from chassis.messaging.publishing.relay import Relay
from chassis.messaging.tables import declare_messaging_tables
from chassis.messaging.wakeup import Wakeups, relay_channel

__all__ = [
    "Consumer",
    "Delivery",
    "FailurePolicy",
    "KafkaConnection",
    "Outbox",
    "PublicEvent",
    "ReceivedMessage",
    "Relay",
    "Subscription",
    "Subscriptions",
    "Wakeups",
    "declare_messaging_tables",
    "erase_parked",
    "insert_events",
    "relay_channel",
]
