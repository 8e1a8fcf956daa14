"""Events by Kafka: outbox and relay out, consumer and inbox in."""

from typing import TYPE_CHECKING

from chassis.lazy_package import names_from

if TYPE_CHECKING:
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

_MODULES = {
    "Consumer": "consuming.consumer",
    "Delivery": "consuming.subscriptions",
    "FailurePolicy": "consuming.subscriptions",
    "KafkaConnection": "connection",
    "Outbox": "publishing.outbox",
    "PublicEvent": "events",
    "ReceivedMessage": "events",
    "Relay": "publishing.relay",
    "Subscription": "consuming.subscriptions",
    "Subscriptions": "consuming.subscriptions",
    "Wakeups": "wakeup",
    "declare_messaging_tables": "tables",
    "erase_parked": "consuming.erasure",
    "insert_events": "publishing.outbox",
    "relay_channel": "wakeup",
}

__getattr__ = names_from(__name__, _MODULES)
