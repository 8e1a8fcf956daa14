"""Rejects the access tokens of ended log-in sessions in every process, without a remote call.

The issuer publishes ended sessions to a broadcast topic. While Kafka is unavailable, tokens are
valid until they expire, which is within minutes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self
from uuid import UUID

from chassis.auth.revocation import MARGIN, RevokedSessions
from chassis.messaging.broadcast import Broadcast, BroadcastMetrics, BroadcastReader
from chassis.messaging.connection import KafkaConnection
from chassis.process import Process
from chassis.settings import AuthSettings, KafkaSettings


class SessionsEnded(Protocol):
    """The event that announces ended sessions; the one in ``contracts`` implements it."""

    topic: ClassVar[Any]  # has a `name`

    @property
    def sids(self) -> Sequence[UUID]:
        """The claim ``sid``, or ``api_key``, of their tokens."""

    @property
    def revoked_at(self) -> datetime:
        """The time at which the sessions ended."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return the event, or raise ValueError with the reason if `data` is not valid."""


class TokenSettings(AuthSettings, KafkaSettings):
    """Settings for verifying tokens and following ended sessions."""


def follow_ended_sessions(
    process: Process, settings: TokenSettings, event: type[SessionsEnded]
) -> RevokedSessions:
    """Start following the topic of ended sessions, and return the live set for TokenVerifier."""
    revoked = RevokedSessions(token_lifetime=settings.access_lifetime)

    def take(data: bytes) -> None:
        ended = event.from_json(data)
        revoked.add(ended.sids, at=ended.revoked_at)

    reader = BroadcastReader(
        broadcast=Broadcast(
            topic=event.topic.name, take=take, history=settings.access_lifetime + MARGIN
        ),
        kafka=KafkaConnection.of(settings),
        metrics=BroadcastMetrics(process.registry),
        health=process.health,
    )
    process.start(reader.run(), name="ended-sessions reader")
    return revoked
