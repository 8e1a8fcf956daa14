"""The gateway imports no contract, so its model of an event is compared with the contract here."""

from contracts.examples import example, example_json
from contracts.users import SESSIONS, SessionRevoked
from gateway.ended_sessions import SessionsEnded


def test_the_gateway_reads_the_event_that_users_publishes():
    read = SessionsEnded.from_json(example_json(SessionRevoked))
    published = example(SessionRevoked)
    assert (read.sids, read.revoked_at) == (published.sids, published.revoked_at)
    assert SessionsEnded.topic.name == SESSIONS.name
