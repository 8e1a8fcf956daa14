"""Whose log-in is recent enough for a sensitive change."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis.actor import SYSTEM, Actor, ActorKind
from chassis.auth.recency import require_recent_log_in
from chassis.database import new_id
from chassis.errors import LogInRequired, ReauthenticationNeeded

WITHIN = timedelta(minutes=5)


def actor(kind: ActorKind, *, ago: timedelta) -> Actor:
    return Actor(kind=kind, user_id=new_id(), authenticated_at=datetime.now(UTC) - ago)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(minutes=4, seconds=50)])
def test_a_recent_log_in_is_accepted(ago: timedelta) -> None:
    user = actor(ActorKind.USER, ago=ago)
    assert require_recent_log_in(user, within=WITHIN) == user.user_id


def test_an_older_one_is_refused_with_the_age_that_is_accepted() -> None:
    with pytest.raises(ReauthenticationNeeded, match="300 s ago") as caught:
        require_recent_log_in(actor(ActorKind.USER, ago=WITHIN), within=WITHIN)
    assert caught.value.extra == {"max_age": 300}


@pytest.mark.parametrize(
    "caller",
    [
        SYSTEM,
        actor(ActorKind.API_KEY, ago=timedelta(0)),
        Actor(kind=ActorKind.USER, user_id=new_id()),
    ],
)
def test_who_did_not_log_in_is_refused(caller: Actor) -> None:
    with pytest.raises(LogInRequired):
        require_recent_log_in(caller, within=WITHIN)
