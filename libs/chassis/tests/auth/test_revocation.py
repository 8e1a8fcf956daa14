"""Tokens of an ended session are refused until they would have expired; then the id is dropped."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine

from chassis.auth import InvalidTokenError, TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.auth.revocation import RevokedSessions
from testkit.tokens import AUDIENCE, ISSUER

LIFETIME = timedelta(minutes=10)
NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def revoked():
    return RevokedSessions(token_lifetime=LIFETIME)


def test_a_session_is_remembered_until_its_last_token_has_expired(clock, revoked):
    session = uuid4()
    revoked.add([session], at=NOW)
    assert session in revoked
    clock.move_to(NOW + LIFETIME + timedelta(seconds=59))
    revoked.add([], at=NOW)
    assert session in revoked
    clock.move_to(NOW + LIFETIME + timedelta(seconds=61))
    revoked.add([], at=NOW)
    assert session not in revoked


def test_what_ended_long_ago_is_not_taken_up(clock, revoked):
    del clock
    revoked.add([uuid4()], at=NOW - timedelta(minutes=12))
    assert len(revoked) == 0


def test_a_second_revocation_never_shortens_the_first(clock, revoked):
    session = uuid4()
    revoked.add([session], at=NOW)
    revoked.add([session], at=NOW - timedelta(minutes=9))
    clock.move_to(NOW + timedelta(minutes=5))
    revoked.add([], at=NOW)
    assert session in revoked


def test_memory_is_bound_by_the_lifetime_of_tokens(clock, revoked):
    for minute in range(120):
        at = NOW + timedelta(minutes=minute)
        clock.move_to(at)
        revoked.add([uuid4() for _ in range(10)], at=at)
        assert len(revoked) <= 120


async def test_a_token_that_was_valid_is_refused_once_its_session_has_ended(tokens):
    revoked = RevokedSessions(token_lifetime=LIFETIME)
    keys = await asyncio.to_thread(PublicKeys, tokens.jwks_file)
    verifier = TokenVerifier(keys=keys, issuer=ISSUER, audience=AUDIENCE, revoked=revoked)
    token, other = tokens.token(), tokens.token()
    principal = verifier.verify(token)
    assert isinstance(principal.session_id, UUID)
    revoked.add([principal.session_id], at=datetime.now(UTC))
    with pytest.raises(InvalidTokenError, match=r"has ended\. Log in"):
        verifier.verify(token)
    verifier.verify(other)
