"""The checker accepts correct histories, and reports the one fault that was injected."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .checker import DOUBLE, GHOST, INVERSION, LOSS, STRANDED, check
from .history import Effect, Event, History, Published, Waiting

PARTITIONS = 3
aggregates = st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 8), min_size=2)


def interleaved(draw, queues):
    """Merge queues at random; each keeps its order."""
    turns = draw(st.permutations([name for name, queue in queues.items() for _ in queue]))
    heads = {name: iter(queue) for name, queue in queues.items()}
    return [next(heads[name]) for name in turns]


def messages(draw, events):
    """Put events on the topic, some of them twice, as a relay may do."""
    sent = []
    for event in events:
        sent.append(event)
        if draw(st.integers(0, 9)) == 0:
            earlier = [one for one in sent if one.aggregate == event.aggregate]
            sent.append(draw(st.sampled_from(earlier)))
    return [
        Published(ord(one.aggregate) % PARTITIONS, offset, one.aggregate, one)
        for offset, one in enumerate(sent)
    ]


@st.composite
def right_histories(draw, *, doomed=None):
    versions = draw(aggregates)
    queues = {
        name: [Event(name, number + 1, f"{name}-{number + 1}") for number in range(count)]
        for name, count in versions.items()
    }
    committed = interleaved(draw, queues)
    doomed = draw(st.booleans()) if doomed is None else doomed
    last = max(versions)
    doomed = {last: draw(st.integers(1, versions[last] - 1))} if doomed else {}
    waiting = [one for one in committed if one.version >= doomed.get(one.aggregate, 99)]
    good = {name: [one for one in queue if one not in waiting] for name, queue in queues.items()}
    return History(
        committed=committed,
        topic=messages(draw, interleaved(draw, queues)),
        effects=[Effect(one, one.version - 1) for one in interleaved(draw, good)],
        parked=[Waiting(one.aggregate, "dead", one) for one in waiting],
        doomed=doomed,
    )


def without(values, place):
    return [*values[:place], *values[place + 1 :]]


def swapped(values, one, other):
    result = list(values)
    result[one], result[other] = result[other], result[one]
    return result


def pairs(values, aggregate_of):
    """Return the positions of pairs of consecutive events of one aggregate."""
    return [
        (one, other)
        for one in range(len(values))
        for other in range(one + 1, len(values))
        if aggregate_of(values[one]) == aggregate_of(values[other])
    ]


def place_in(draw, values):
    return draw(st.integers(0, len(values) - 1))


def lose_from_the_topic(draw, history):
    event = draw(st.sampled_from(history.committed))
    return replace(history, topic=[one for one in history.topic if one.event != event])


def lose_an_effect(draw, history):
    return replace(history, effects=without(history.effects, place_in(draw, history.effects)))


def lose_what_is_parked(draw, history):
    return replace(history, parked=without(history.parked, place_in(draw, history.parked)))


def lose_a_commit(draw, history):
    """Remove a first version. A missing last version could not be detected."""
    first = [place for place, one in enumerate(history.committed) if one.version == 1]
    place = draw(st.sampled_from(first))
    return replace(history, committed=without(history.committed, place))


def rolled_back(draw, history):
    """Return the event of a rolled-back transaction whose version another transaction then used."""
    event = draw(st.sampled_from(history.committed))
    return replace(event, id=f"{event.id}-rolled-back")


def publish_what_was_rolled_back(draw, history):
    ghost = rolled_back(draw, history)
    message = draw(st.sampled_from([m for m in history.topic if m.key == ghost.aggregate]))
    return replace(history, topic=[*history.topic, replace(message, offset=999, event=ghost)])


def let_a_ghost_take_effect(draw, history):
    ghost = Effect(rolled_back(draw, history), 0)
    place = draw(st.integers(0, len(history.effects)))
    return replace(history, effects=[*history.effects[:place], ghost, *history.effects[place:]])


def let_a_doomed_event_take_effect(draw, history):
    event = draw(st.sampled_from([waiting.event for waiting in history.parked]))
    return replace(history, effects=[*history.effects, Effect(event, event.version - 1)])


def double_an_effect(draw, history):
    effect = draw(st.sampled_from(history.effects))
    return replace(history, effects=[*history.effects, effect])


def double_a_commit(draw, history):
    event = draw(st.sampled_from(history.committed))
    return replace(history, committed=[*history.committed, replace(event, id="another")])


def double_what_is_parked(draw, history):
    return replace(history, parked=[*history.parked, draw(st.sampled_from(history.parked))])


def invert_the_topic(draw, history):
    first: dict[Event, int] = {}
    for place, message in enumerate(history.topic):
        first.setdefault(message.event, place)
    places = list(first.values())
    one, other = draw(st.sampled_from(pairs(places, lambda place: history.topic[place].key)))
    topic = [m for place, m in enumerate(history.topic) if place in places]
    early, late = history.topic[places[one]], history.topic[places[other]]
    exchanged = {early.event: late.offset, late.event: early.offset}
    topic = [replace(m, offset=exchanged.get(m.event, m.offset)) for m in topic]
    return replace(history, topic=topic)


def move_to_another_partition(draw, history):
    several = [
        place
        for place, message in enumerate(history.topic)
        if sum(one.key == message.key for one in history.topic) > 1
    ]
    place = draw(st.sampled_from(several))
    topic = list(history.topic)
    topic[place] = replace(topic[place], partition=PARTITIONS)
    return replace(history, topic=topic)


def send_under_another_key(draw, history):
    place = place_in(draw, history.topic)
    topic = list(history.topic)
    topic[place] = replace(topic[place], key="z")
    return replace(history, topic=topic)


def invert_effects(draw, history):
    found = pairs(history.effects, lambda effect: effect.event.aggregate)
    return replace(history, effects=swapped(history.effects, *draw(st.sampled_from(found))))


def commit_effects_in_another_order(draw, history):
    """Places are in order, but the second committed before the first became visible."""
    late = [place for place, one in enumerate(history.effects) if one.event.version > 1]
    place = draw(st.sampled_from(late))
    effects = list(history.effects)
    effects[place] = replace(effects[place], before=effects[place].before - 1)
    return replace(history, effects=effects)


def invert_a_queue(draw, history):
    found = pairs(history.parked, lambda waiting: waiting.aggregate)
    return replace(history, parked=swapped(history.parked, *draw(st.sampled_from(found))))


def strand_in_the_outbox(draw, history):
    return replace(history, outbox=[draw(st.sampled_from(history.committed))])


def strand_in_a_queue(draw, history):
    place = place_in(draw, history.effects)
    event = history.effects[place].event
    left = Waiting(event.aggregate, draw(st.sampled_from(["retrying", "dead"])), event)
    effects = without(history.effects, place) if draw(st.booleans()) else history.effects
    return replace(history, effects=effects, parked=[left, *history.parked])


def leave_an_empty_queue(draw, history):
    event = draw(st.sampled_from(history.committed))
    return replace(history, parked=[*history.parked, Waiting(event.aggregate, "retrying", None)])


def never_give_up(draw, history):
    place = place_in(draw, history.parked)
    parked = list(history.parked)
    parked[place] = replace(parked[place], state="retrying")
    return replace(history, parked=parked)


FAULTS = [
    (lose_from_the_topic, LOSS, False),
    (lose_an_effect, LOSS, False),
    (lose_a_commit, LOSS, False),
    (lose_what_is_parked, LOSS, True),
    (publish_what_was_rolled_back, GHOST, False),
    (let_a_ghost_take_effect, GHOST, False),
    (let_a_doomed_event_take_effect, GHOST, True),
    (double_an_effect, DOUBLE, False),
    (double_a_commit, DOUBLE, False),
    (double_what_is_parked, DOUBLE, True),
    (invert_the_topic, INVERSION, False),
    (move_to_another_partition, INVERSION, False),
    (send_under_another_key, INVERSION, False),
    (invert_effects, INVERSION, False),
    (commit_effects_in_another_order, INVERSION, False),
    (invert_a_queue, INVERSION, True),
    (strand_in_the_outbox, STRANDED, False),
    (strand_in_a_queue, STRANDED, False),
    (leave_an_empty_queue, STRANDED, False),
    (never_give_up, STRANDED, True),
]


@given(history=right_histories())
def test_a_right_history_has_no_fault(history):
    assert check(history) == []


@pytest.mark.parametrize(
    ("inject", "kind", "doomed"), FAULTS, ids=[inject.__name__ for inject, *_ in FAULTS]
)
@settings(max_examples=40)
@given(data=st.data())
def test_one_fault_in_a_right_history_is_found_and_named(inject, kind, doomed, data):
    history = data.draw(right_histories(doomed=doomed or None))
    broken = inject(data.draw, history)
    findings = check(broken)
    assert kind in {finding.kind for finding in findings}, findings


def test_a_finding_says_which_event_it_is_about():
    event = Event("a", 1, "x")
    (on_the_topic, as_effect) = check(History(committed=[event]))
    assert str(on_the_topic) == "loss: a 1 (x) was committed, and is not on the topic"
    assert str(as_effect) == "loss: a 1 (x) had no effect, and is not parked"
