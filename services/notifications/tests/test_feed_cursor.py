"""The states of a connection's cursor: each step, in each state, by the table."""

import pytest

from notifications.feed.models import TRANSITIONS, CursorState, CursorStep
from notifications.feed.repository import Item
from notifications.feed.service import PAGE, Connection


def item(event_id):
    return Item(event_id=event_id, type="notification", data="{}", traceparent=None)


@pytest.fixture
def joined(connections, principal):
    connection = Connection(principal=principal())
    with connections.joined(connection):
        yield connection


def reading(connections, connection):
    connections.place(connection, 0)
    assert connections.take_due(10) == [connection]


def deliver(connections, connection, *ids):
    found = {(connection.user_id, connection.position): [item(one) for one in ids]}
    connections.deliver([connection], found if ids else {})


def test_every_state_but_the_end_is_left_by_the_end_and_takes_hints():
    assert set(TRANSITIONS) == set(CursorState)
    for steps in TRANSITIONS.values():
        assert steps[CursorStep.ENDED] is CursorState.ENDED
        assert CursorStep.HINTED in steps


def test_the_reader_and_the_writer_never_have_the_same_page():
    """Only a page that was read is taken, and nothing is read while one waits."""
    takes = {state for state, steps in TRANSITIONS.items() if CursorStep.TAKEN in steps}
    reads = {state for state, steps in TRANSITIONS.items() if CursorStep.READ in steps}
    assert takes & reads == {CursorState.ENDED}


def test_a_hint_between_query_and_result_is_read_again(connections, joined):
    reading(connections, joined)
    connections.hint(str(joined.user_id))
    assert connections.take_due(10) == []
    deliver(connections, joined)
    assert connections.take_due(10) == [joined]


async def test_a_hint_between_query_and_a_result_with_items_is_read_once_they_are_taken(
    connections, joined
):
    reading(connections, joined)
    connections.hint(str(joined.user_id))
    deliver(connections, joined, 1)
    assert connections.take_due(10) == []
    assert [one.event_id for one in await connections.next_items(joined)] == [1]
    assert connections.take_due(10) == [joined]


async def test_a_full_page_is_followed_by_a_read_without_a_hint(connections, joined):
    reading(connections, joined)
    deliver(connections, joined, *range(1, PAGE + 1))
    assert joined.state is CursorState.HOLDING_MORE
    await connections.next_items(joined)
    assert connections.take_due(10) == [joined]


def test_a_read_that_failed_is_repeated_without_a_hint(connections, joined):
    reading(connections, joined)
    connections.release([joined])
    assert connections.woken.is_set()
    assert connections.take_due(10) == [joined]


def test_a_connection_that_left_while_it_was_read_for_is_never_due_again(connections, principal):
    connection = Connection(principal=principal())
    with connections.joined(connection):
        reading(connections, connection)
        connections.hint(str(connection.user_id))
    deliver(connections, connection)
    connections.release([connection])
    assert connections.take_due(10) == []


def test_a_connection_that_ended_while_it_was_read_for_gets_no_items(connections, joined):
    reading(connections, joined)
    connections.drain()
    deliver(connections, joined, 1)
    assert joined.held == 0
    assert joined.position == 0
    assert connections.take_due(10) == []


def test_a_hint_before_the_position_is_known_causes_no_read(connections, joined):
    connections.hint(str(joined.user_id))
    assert connections.take_due(10) == []
    assert connections.places() == []
