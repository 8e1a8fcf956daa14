"""The copies of public responses, in memory and within a bound of bytes.

A copy is of one target. A response with `Vary` has one copy for each value of the fields that it
names; a target keeps a few of them. The targets that were used longest ago are dropped first.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.exchange import FieldLines, UpstreamAnswer
from gateway.links.cache_control import Freshness
from gateway.links.fields import value_of

if TYPE_CHECKING:
    from gateway.links.cache import Fetch

MAX_VARIANTS: Final = 8
_OVERHEAD_BYTES = 1024  # the objects around a copy; measured at about 900
_FIELD_BYTES = 150  # two bytes objects and a tuple

type Selection = tuple[bytes | None, ...]
"""The values of the fields that `Vary` names, in the request that a copy was made for."""


@dataclass(slots=True, kw_only=True, eq=False)
class Copy:
    """One response that was kept.

    Attributes:
        fields: its fields.
        body: its body.
        freshness: how long it may be used.
        age: how old it was when it arrived, in seconds.
        arrived: when it arrived, or was confirmed last.
        forms: its body in other forms, by the marks of their tags.
        size: what it counts for, in bytes; 0 if it is not kept.
        grow: counts further bytes of it.
    """

    fields: FieldLines
    body: bytes
    freshness: Freshness
    age: int
    arrived: float
    forms: dict[bytes, bytes] = field(default_factory=dict)
    size: int = 0
    grow: Callable[[int], None] | None = None

    @property
    def tag(self) -> bytes | None:
        """The entity tag."""
        return value_of(self.fields, b"etag")

    def age_at(self, now: float) -> int:
        """Return the age in seconds."""
        return self.age + max(0, int(now - self.arrived))

    def seconds_left(self, now: float) -> int:
        """Return for how long it is still fresh; negative: for how long it has been stale."""
        return self.freshness.seconds - self.age_at(now)

    def form(self, marks: bytes) -> bytes | None:
        """Return its body in another form, or None if it was not made yet."""
        return self.forms.get(marks)

    def keep_form(self, marks: bytes, body: bytes) -> None:
        """Keep its body in another form."""
        if self.size and self.grow is not None:
            self.forms[marks] = body
            self.size += len(body)
            self.grow(len(body))

    def measured(self) -> int:
        """Return what it counts for now, in bytes."""
        fields = sum(len(name) + len(value) + _FIELD_BYTES for name, value in self.fields)
        forms = sum(map(len, self.forms.values()))
        return len(self.body) + fields + forms + _OVERHEAD_BYTES


@dataclass(slots=True, kw_only=True, eq=False)
class Target:
    """All that is known of one target.

    Attributes:
        name: scheme, hosts, path and query.
        kept: whether it was not dropped.
        vary: the names in the `Vary` of its last response, sorted.
        copies: its copies.
        fetch: the request that is being made for all who wait.
        apart_until: until then each request goes to the service by itself, because the last
            response could not be shared.
        failed_until: until then an old copy may be sent, because the service failed.
        private_until: until then each request with a credential goes to the service by itself,
            because the last response was not for those too.
    """

    name: bytes
    kept: bool = True
    vary: tuple[bytes, ...] = ()
    copies: dict[Selection, Copy] = field(default_factory=dict)
    fetch: "Fetch | None" = None
    apart_until: float = float("-inf")
    failed_until: float = float("-inf")
    private_until: float = float("-inf")

    def selection(self, fields: FieldLines) -> Selection:
        """Return what selects a copy for a request with these fields."""
        return tuple(value_of(fields, name) for name in self.vary)


class Copies:
    """The copies of all targets.

    Args:
        max_bytes: the bound.

    Attributes:
        bytes: what the copies count for now.
        dropped: how many targets were dropped to make room.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.dropped = 0
        self._targets: OrderedDict[bytes, Target] = OrderedDict()

    def target(self, name: bytes) -> Target:
        """Return what is known of a target; it counts as used now."""
        target = self._targets.get(name)
        if target is None:
            # Its own entry counts too: a crowd of targets without copies must not grow for ever.
            self._targets[name] = target = Target(name=name)
            self._add(_OVERHEAD_BYTES + len(name))
        else:
            self._targets.move_to_end(name)
        return target

    def put(self, target: Target, selection: Selection, copy: Copy) -> None:
        """Keep a copy, in place of an older one for the same selection."""
        if not target.kept:
            return  # it was dropped while its response was on the way
        self._targets.move_to_end(target.name)
        old = target.copies.pop(selection, None)
        if len(target.copies) >= MAX_VARIANTS:
            old = target.copies.pop(next(iter(target.copies)))
        if old is not None:
            self._drop(old)
        target.copies[selection] = copy
        copy.size = copy.measured()
        copy.grow = self._add
        self._add(copy.size)

    def forget(self, target: Target) -> None:
        """Drop all copies of a target."""
        for copy in target.copies.values():
            self._drop(copy)
        target.copies.clear()

    def drop_below(self, prefix: bytes) -> None:
        """Drop the targets below a path, also those whose response is on the way.

        The name of a target is its authority, a space, and its path with the query. The path has no
        space, but the authority may have one: proxies write `X-Forwarded-Host: a, b`.
        """
        below = [name for name in self._targets if name.rpartition(b" ")[2].startswith(prefix)]
        for name in below:
            target = self._targets.pop(name)
            target.kept = False
            self.bytes -= _OVERHEAD_BYTES + len(name)
            self.forget(target)

    def _drop(self, copy: Copy) -> None:
        self.bytes -= copy.size
        copy.size = 0

    def _add(self, size: int) -> None:
        self.bytes += size
        while self.bytes > self.max_bytes and len(self._targets) > 1:
            name, target = self._targets.popitem(last=False)
            target.kept = False
            self.dropped += 1
            self.bytes -= _OVERHEAD_BYTES + len(name)
            self.forget(target)


def answer_of(copy: Copy, now: float, status: bytes) -> UpstreamAnswer:
    """Return a copy as a response.

    Args:
        copy: the copy.
        now: the time.
        status: the value of `Cache-Status`.
    """
    fields = [
        *copy.fields,
        (b"age", b"%d" % copy.age_at(now)),
        (b"cache-status", status),
    ]
    return UpstreamAnswer(status=200, fields=fields, body=copy.body, forms=copy)
