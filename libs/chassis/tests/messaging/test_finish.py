"""What a transaction's handlers collected is written once, at its end, and with their effects."""

from chassis.messaging import FailurePolicy

from .counting import record
from .messages import raised


async def collect(event, delivery):
    """Take effect, and collect the number for the end."""
    await record(event, delivery)
    delivery.unit.collected(int).append(event.number)


class Finish:
    """Notes what each transaction collected, and refuses some numbers."""

    def __init__(self, *refused):
        self.refused = set(refused)
        self.written = []

    async def __call__(self, unit, _):
        numbers = list(unit.collected(int))
        if self.refused & set(numbers):
            message = f"{numbers} can't be written"
            raise ValueError(message)
        self.written.append(numbers)


async def test_it_runs_once_after_all_handlers_of_a_batch(offline):
    finish = Finish()
    assert await offline.runner(collect, finish=finish).run(raised(1, 2, 3)) == (3, None)
    assert finish.written == [[1, 2, 3]]


async def test_between_a_handler_and_commit_it_fails_and_that_message_alone_is_parked(offline):
    finish = Finish(2)
    at_once = FailurePolicy(attempts=3, first_delay=0)
    runner = offline.runner(collect, finish=finish, failure=at_once)
    assert await runner.run(raised(1, 2)) == (2, None)
    assert finish.written == [[1]]
    assert await offline.effects() == [("a", 1)], "the effect of its handler is rolled back"
    finish.refused.clear()
    assert await offline.retries(collect, finish=finish, failure=at_once).work_one()
    assert finish.written == [[1], [2]]
    assert await offline.effects() == [("a", 1), ("a", 2)]
