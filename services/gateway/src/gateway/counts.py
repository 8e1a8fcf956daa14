"""The counts of rate limits: sliding windows, by key, in this process and in the store.

A window begins with a key's first request. The share of the previous window that the last `window`
seconds still cover is added to the count of the present one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Rate(NamedTuple):
    """A limit: `amount` requests in `seconds`."""

    amount: int
    seconds: int


@dataclass(slots=True)
class Window:
    """The count of one key.

    Attributes:
        began: when the present window began, in seconds of the limits' clock.
        current: requests in the present window.
        previous: requests in the one before.
        unsettled: those of `current` that the store does not know yet.
        known_at: when the store last told its count; None: never.
    """

    began: float
    current: int = 0
    previous: int = 0
    unsettled: int = 0
    known_at: float | None = None

    def shift(self, now: float, seconds: int) -> None:
        """Begin the next window if the present one is over."""
        elapsed = now - self.began
        if elapsed < seconds:
            return
        windows = int(elapsed // seconds)
        self.previous = self.current if windows == 1 else 0
        self.current = 0
        self.began += windows * seconds

    def used(self, now: float, seconds: int) -> int:
        """Return how many requests count at present."""
        if not self.previous:
            return self.current
        share = 1 - (now - self.began) / seconds
        return math.floor(self.previous * share) + self.current

    def left(self, now: float, seconds: int) -> float:
        """Return the seconds until the present window is over, `seconds` at most."""
        return seconds - (now - self.began)  # `began + seconds - now` may be a little more

    def wait(self, now: float, rate: Rate) -> float:
        """Return the seconds until a request may pass, if none may pass now."""
        amount, seconds = rate
        rest = self.left(now, seconds)
        if self.current < amount and self.previous:
            # floor(previous * share) must fall to this number.
            allowed = amount - self.current
            return max(0.0, rest - seconds * allowed / self.previous)
        return rest


# For each key: its window, the number to add, and the limit that may not be exceeded (-1: none).
# All numbers are in one argument, since the client spends over a microsecond on each argument.
# Returns, for each key, whether it was added, both counts, and the window's age in ms. The clock is
# the store's, so that replicas whose clocks differ agree on the windows.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local numbers = {}
for number in string.gmatch(ARGV[1], '%S+') do
  numbers[#numbers + 1] = tonumber(number)
end
local answers = {}
for n, key in ipairs(KEYS) do
  local width = numbers[3 * n - 2] * 1000
  local add = numbers[3 * n - 1]
  local limit = numbers[3 * n]
  local known = redis.call('HMGET', key, 'began', 'current', 'previous')
  local began = tonumber(known[1]) or now
  local current = tonumber(known[2]) or 0
  local previous = tonumber(known[3]) or 0
  local windows = math.floor((now - began) / width)
  if windows > 0 then
    previous = windows == 1 and current or 0
    current = 0
    began = began + windows * width
  end
  local used = math.floor(previous * (1 - (now - began) / width)) + current
  local added = limit < 0 or used + add <= limit
  if added then
    current = current + add
    redis.call('HSET', key, 'began', began, 'current', current, 'previous', previous)
    redis.call('PEXPIRE', key, 2 * width)
  end
  answers[n] = string.format('%d,%d,%d,%d', added and 1 or 0, current, previous, now - began)
end
return table.concat(answers, ' ')
"""


class StoreCount(NamedTuple):
    """What the store says of one key.

    Attributes:
        added: whether the requests were counted; False: they would exceed the limit.
        current: the count of the present window.
        previous: the count of the one before.
        age: how many seconds ago the present window began.
    """

    added: bool
    current: int
    previous: int
    age: float


def counts_of(text: bytes) -> list[StoreCount]:
    """Return the counts that the script answered with."""
    found = []
    for part in text.split(b" "):
        added, current, previous, age = part.split(b",")
        found.append(StoreCount(added == b"1", int(current), int(previous), int(age) / 1000))
    return found
