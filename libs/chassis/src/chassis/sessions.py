"""Drops the access tokens of sessions that have ended, in every process, without asking anybody.

The issuer announces ended sessions on a topic that each process reads whole; where Kafka is away,
tokens are good until they expire, which is soon.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self
from uuid import UUID

from chassis.auth.revocation import MARGIN, RevokedSessions
from chassis.messaging.broadcast import Feed, FeedMetrics, FeedReader
from chassis.messaging.connection import KafkaConnection
from chassis.process import Process
from chassis.settings import AuthSettings, KafkaSettings


class SessionsEnded(Protocol):
    """The event that tells of ended sessions; the one of ``contracts`` fits it."""

    topic: ClassVar[Any]  # has a `name`

    @property
    def sids(self) -> Sequence[UUID]:
        """The claim ``sid`` of their tokens."""

    @property
    def revoked_at(self) -> datetime:
        """When they ended."""

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the event's data; ValueError says what does not fit."""


class TokenSettings(AuthSettings, KafkaSettings):
    """What this needs to know."""


def follow_sessions(
    process: Process, settings: TokenSettings, event: type[SessionsEnded]
) -> RevokedSessions:
    """Begin to read what ended; answers what a verifier refuses the tokens of."""
    revoked = RevokedSessions(token_lifetime=settings.access_lifetime)

    def take(data: bytes) -> None:
        ended = event.from_json(data)
        revoked.add(ended.sids, at=ended.revoked_at)

    reader = FeedReader(
        feed=Feed(topic=event.topic.name, take=take, history=settings.access_lifetime + MARGIN),
        kafka=KafkaConnection.of(settings),
        metrics=FeedMetrics(process.registry),
        health=process.health,
    )
    process.start(reader.run(), name="sessions feed")
    return revoked
