"""Whatever clients, thieves and users do with tokens, in any order, the rules of sessions hold.

A state machine sends requests, and a model of a few lines says what each must return. After each
request the list of sessions, the table and the announcements are compared with the model.
"""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chassis.auth.opaque import new_token
from users.resources import Resources
from users.sessions.service import IssuedTokens, Refusal
from users.sessions.wiring import sessions as make_sessions

from .conftest import bearer_of
from .test_sessions import SESSIONS, claims_of

REVOKE = "/api/v1/auth/revoke"
TOKEN = "/api/v1/auth/token"
EMAILS = ("ada@example.com", "grace@example.com")
ANNOUNCED = """
    SELECT payload->'sids' AS sids FROM (
        SELECT convert_from(payload, 'UTF8')::jsonb AS payload FROM outbox
        WHERE type = 'session.revoked.v1'
    ) AS events
"""


@dataclass
class Family:
    """What the model knows of a log-in session."""

    owner: str
    sid: str
    chain: list[str]
    access: list[str]
    alive: bool = True
    repeatable: bool = False  # whether the last token but one still gives its successor

    def expected(self, token: str) -> Refusal | None:
        """Return why a refresh with `token` must be rejected, or None."""
        if not self.alive:
            return Refusal.REVOKED
        if token == self.chain[-1]:
            return None
        if self.repeatable and token == self.chain[-2]:
            return None
        return Refusal.REUSED


@dataclass(frozen=True)
class Presented:
    """A refresh token and its family."""

    family: Family
    token: str


@dataclass(frozen=True)
class Place:
    """Where the machine runs: its requests and queries belong to the test's event loop."""

    loop: asyncio.AbstractEventLoop
    client: httpx.AsyncClient
    db: asyncpg.Connection
    resources: Resources

    def wait[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=60)

    async def open(self, email: str) -> IssuedTokens:
        async with self.resources.database.transaction() as unit:
            sessions = make_sessions(self.resources, unit)
            account = await sessions._accounts.find_by_email(email)
            assert account is not None
            return await sessions.open(account)

    async def refresh(self, token: str, times: int) -> list[httpx.Response]:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await asyncio.gather(*(self.client.post(TOKEN, data=form) for _ in range(times)))


class Sessions(RuleBasedStateMachine):
    """The sessions of two users; ``place`` is set by the test."""

    place: ClassVar[Place]
    presented = Bundle("presented")

    def __init__(self) -> None:
        super().__init__()
        self.families: list[Family] = []
        for table in ("sessions", "outbox"):
            self.place.wait(self.place.db.execute(f"DELETE FROM {table}"))

    @rule(target=presented, email=st.sampled_from(EMAILS))
    def log_in(self, email):
        tokens = self.place.wait(self.place.open(email))
        sid = claims_of({"access_token": tokens.access_token})["sid"]
        family = Family(email, sid, [tokens.refresh_token], [tokens.access_token])
        self.families.append(family)
        return Presented(family, tokens.refresh_token)

    @rule(target=presented, given=presented, times=st.sampled_from([1, 1, 1, 3]))
    def refresh(self, given, times):
        """Send a token once or several times at once: its holder, two tabs, or a thief."""
        family = given.family
        refusal = family.expected(given.token)
        answers = self.place.wait(self.place.refresh(given.token, times))
        if refusal is None:
            assert [answer.status_code for answer in answers] == [200] * times
            (successor,) = {answer.json()["refresh_token"] for answer in answers}
            if given.token == family.chain[-1]:
                family.chain.append(successor)
                family.repeatable = True
                self.let_repeat(family, timedelta(hours=1))  # however slow the machine is
            assert successor == family.chain[-1]
            family.access += [answer.json()["access_token"] for answer in answers]
            assert {claims_of(answer.json())["sid"] for answer in answers} == {family.sid}
            return Presented(family, successor)
        found = sorted(answer.json()["error_description"] for answer in answers)
        assert found == sorted([refusal, *[Refusal.REVOKED] * (times - 1)])
        family.alive = False
        return given

    @rule(given=presented)
    def pass_time(self, given):
        """Let the time be over in which a lost response is repeated."""
        self.let_repeat(given.family, timedelta(0))
        given.family.repeatable = False

    @rule()
    def present_an_unknown_token(self):
        (answer,) = self.place.wait(self.place.refresh(new_token(), 1))
        assert answer.json()["error_description"] == Refusal.UNKNOWN

    @rule(given=presented)
    def revoke_refresh_token(self, given):
        self.revoke(given.token)
        given.family.alive = False

    @rule(given=presented, oldest=st.booleans())
    def revoke_access_token(self, given, oldest):
        self.revoke(given.family.access[0 if oldest else -1])
        given.family.alive = False

    @rule(by=presented, ended=presented)
    def end_one(self, by, ended):
        answer = self.delete(f"{SESSIONS}/{ended.family.sid}", by.family)
        own = by.family.owner == ended.family.owner
        assert answer.status_code == (204 if own else 404)
        ended.family.alive = ended.family.alive and not own

    @rule(by=presented)
    def end_all(self, by):
        assert self.delete(SESSIONS, by.family).status_code == 204
        for family in self.families:
            family.alive = family.alive and family.owner != by.family.owner

    @invariant()
    def the_living_sessions_are_listed(self):
        for owner in EMAILS:
            own = [family for family in self.families if family.owner == owner]
            if not own:
                continue
            headers = bearer_of({"access_token": own[0].access[-1]})
            request = self.place.client.get(f"{SESSIONS}?limit=100", headers=headers)
            listed = [item["id"] for item in self.place.wait(request).json()["items"]]
            assert listed == [family.sid for family in reversed(own) if family.alive]

    @invariant()
    def ended_sessions_alone_are_announced(self):
        rows = self.place.wait(self.place.db.fetch(ANNOUNCED))
        announced = {sid for row in rows for sid in json.loads(row["sids"])}
        assert announced == {family.sid for family in self.families if not family.alive}

    @invariant()
    def a_family_has_one_unused_token(self):
        counted = self.place.wait(
            self.place.db.fetch(
                "SELECT session_id, count(*) FILTER (WHERE used_at IS NULL) AS unused"
                " FROM refresh_tokens GROUP BY 1"
            )
        )
        assert all(row["unused"] == 1 for row in counted)
        assert len(counted) == len(self.families)

    def let_repeat(self, family: Family, remaining: timedelta) -> None:
        change = """
            UPDATE sessions SET successor_until = now() + $1
            WHERE id = $2 AND successor_until IS NOT NULL
        """
        self.place.wait(self.place.db.execute(change, remaining, UUID(family.sid)))

    def revoke(self, token: str) -> None:
        answer = self.place.wait(self.place.client.post(REVOKE, data={"token": token}))
        assert (answer.status_code, answer.json()) == (200, {})

    def delete(self, path: str, by: Family) -> httpx.Response:
        """Send a DELETE with the family's access token; without Kafka, ended ones stay valid."""
        headers = bearer_of({"access_token": by.access[-1]})
        return self.place.wait(self.place.client.delete(path, headers=headers))


@pytest.mark.timeout(600)
async def test_the_rules_hold_whatever_is_done(client, resources, db, register):
    for email in EMAILS:
        await register(email)

    class Here(Sessions):
        place = Place(asyncio.get_running_loop(), client, db, resources)

    profile = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=profile)
