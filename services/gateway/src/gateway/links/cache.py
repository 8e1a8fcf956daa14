"""A cache of public reads (RFC 9111), shared by all clients of one process.

Many requests for one target make one request to the service: the first one fetches, the others
wait. A change that passes this process drops the copies of its route (RFC 9111 §4.4). Of all other
changes nothing tells the gateway: a client may see a resource as old as `max-age` allows.

A request of a client can spoil no copy: the service gets only the fields that select one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.exchange import FieldLines, UpstreamAnswer, UpstreamRequest
from gateway.links.cache_control import age_of, freshness_of
from gateway.links.cache_metrics import CacheMetrics, Use
from gateway.links.copies import Copies, Copy, Target, answer_of
from gateway.links.fields import replaced, value_of, without
from gateway.links.tags import names_tag

type Resume = Callable[[UpstreamAnswer | None], None]
"""Gets the response that a request waited for; None: it has to ask the cache again."""

APART_SECONDS: Final = 5.0
"""How long requests go separately after a response that could not be shared."""
_SELECTING = frozenset({b"accept", b"accept-language"})
_PASSED_ON = _SELECTING | {b"authorization"}
"""What the service gets of a client's fields. A cookie or an unknown field could select a response
that others get then."""
_UNSEEN = frozenset({b"accept-encoding", b"cookie", b"origin", b"user-agent"})
"""Fields of which the service sees nothing here: a `Vary` that names them selects nothing."""
_IDENTITY = (b"accept-encoding", b"identity")
_UNSHARED_REQUEST = frozenset({b"range", b"if-match", b"if-unmodified-since", b"if-range"})
_OK, _NOT_MODIFIED, _FIRST_FAILURE = 200, 304, 500
# What a 304 has of the 200 (RFC 9110 §15.4.5), and what the gateway says of the copy.
_OF_NOT_MODIFIED = frozenset(
    {b"age", b"cache-control", b"cache-status", b"content-location", b"etag", b"expires", b"vary"}
)


@dataclass(slots=True, kw_only=True, eq=False)
class Waiter:
    """A request that waits for the fetch of another."""

    request: "Read"
    resume: Resume
    fetch: "Fetch"

    def leave(self) -> None:
        """Wait no longer: the client disconnected, or its time is over."""
        if self in self.fetch.waiting:
            self.fetch.waiting.remove(self)


@dataclass(slots=True, kw_only=True, eq=False)
class Read:
    """What the cache needs to know of a request.

    Attributes:
        fields: the fields that select a copy, and no others.
        head: whether it is HEAD.
        token: whether it has a credential.
        known: its If-None-Match, if any.
    """

    fields: FieldLines
    head: bool
    token: bool
    known: bytes | None


@dataclass(slots=True, kw_only=True, eq=False)
class Fetch:
    """The one request to the service for a target. It ends with one of its methods."""

    cache: "Cache"
    target: Target
    read: Read
    stale: Copy | None
    waiting: list[Waiter] = field(default_factory=list)

    def done(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Take the service's response, and return the client's."""
        return self.cache.fetched(self, answer)

    def failed(self) -> UpstreamAnswer | None:
        """Take note that the service failed, and return an old copy if it may be sent then.

        Those who wait get it too, or ask the service themselves.
        """
        return self.cache.failed(self, b"")

    def unshared(self) -> None:
        """Take note that the response goes to one client only: it is too large to be held."""
        self.cache.unshared(self)

    def left(self) -> None:
        """Take note that the client disconnected: the next one who waits fetches."""
        self.cache.end_fetch(self)


class Cache:
    """The cache of one process.

    Args:
        max_bytes: the bound of its memory.
        clock: returns the time in seconds; it never goes back.
        metrics: counts how requests were answered.
    """

    def __init__(
        self, *, max_bytes: int, clock: Callable[[], float], metrics: CacheMetrics
    ) -> None:
        self.copies = Copies(max_bytes=max_bytes)
        self._prefixes: set[str] = set()
        self._largest = max_bytes // 32  # a target has up to 8 copies, each in several forms
        self._clock = clock
        self._metrics = metrics
        metrics.show(self.copies)

    def enter(
        self, request: UpstreamRequest, resume: Resume
    ) -> UpstreamAnswer | Fetch | Waiter | None:
        """Take a request.

        Its fields become those that the service may get.

        Args:
            request: a GET or HEAD of a route that is cacheable.
            resume: called once if the result is a Waiter, unless that leaves before.

        Returns:
            The response; a Fetch if this request has to ask the service, for all; a Waiter if
            another one is asking; None if it has to ask for itself alone.
        """
        names = {name for name, _ in request.fields}
        # The body of a GET could select the response, and is no part of the key.
        if request.has_body or names & _UNSHARED_REQUEST:
            self._metrics.count(Use.BYPASS)
            return None
        self._prefixes.add(request.route.prefix)
        read = _read_of(request)
        request.fields = _for_service(request.fields)
        now = self._clock()
        target = self.copies.target(b"%b %b" % (request.authority, request.target))
        copy = target.copies.get(target.selection(read.fields))
        private = copy is not None and not copy.freshness.public
        if read.token and (private or now < target.private_until):
            self._apart(request, read)
            return None
        if copy is not None:
            answer = self._from_copy(target, copy, read, now)
            if answer is not None:
                return answer
        return self._without_copy(request, read, target, copy, resume, now)

    def _apart(self, request: UpstreamRequest, read: Read) -> None:
        """Let a request go to the service for itself alone; its client may have the resource."""
        self._metrics.count(Use.BYPASS)
        if read.known is not None:
            request.fields = [*request.fields, (b"if-none-match", read.known)]

    def changed(self, prefix: str) -> None:
        """Drop the copies of a route, because a request has changed something below it."""
        if prefix in self._prefixes:
            self.copies.drop_below(prefix.encode())

    def _from_copy(
        self, target: Target, copy: Copy, read: Read, now: float
    ) -> UpstreamAnswer | None:
        left = copy.seconds_left(now)
        if left > 0:
            self._metrics.count(Use.HIT)
        elif (target.fetch is not None and -left < copy.freshness.stale_seconds) or (
            now < target.failed_until and -left < copy.freshness.stale_on_error_seconds
        ):
            self._metrics.count(Use.STALE)
        else:
            return None
        return _to_client(copy, read, now, b"gateway; hit; ttl=%d" % left)

    def _without_copy(
        self,
        request: UpstreamRequest,
        read: Read,
        target: Target,
        stale: Copy | None,
        resume: Resume,
        now: float,
    ) -> Fetch | Waiter | None:
        if read.head or now < target.apart_until:
            self._apart(request, read)
            return None
        if target.fetch is not None:
            waiter = Waiter(request=read, resume=resume, fetch=target.fetch)
            target.fetch.waiting.append(waiter)
            return waiter
        target.fetch = Fetch(cache=self, target=target, read=read, stale=stale)
        if stale is not None and stale.tag is not None:
            request.fields = [*request.fields, (b"if-none-match", stale.tag)]
        return target.fetch

    def fetched(self, fetch: Fetch, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Keep the response of a fetch if that is allowed, and return what its client gets."""
        now, stale, status = self._clock(), fetch.stale, answer.status
        renewed = stale if status == _NOT_MODIFIED else None
        if renewed is not None:
            answer = _confirmed(renewed, answer)
        elif status >= _FIRST_FAILURE:
            old = self.failed(fetch, b"; fwd=stale; fwd-status=%d" % status)
            if old is not None:
                return old
        self._metrics.count(Use.MISS if renewed is None else Use.CONFIRMED)
        reason = b"uri-miss" if stale is None else b"stale"
        copy = self._copy_of(fetch, answer, now)
        if copy is not None:
            if renewed is not None:
                copy.forms = renewed.forms
            return self._share(fetch, copy, reason, status, now)
        if answer.status < _FIRST_FAILURE:
            if fetch.read.token and not freshness_of(answer.fields).public:
                # Only requests with a credential have to go separately.
                fetch.target.private_until = now + APART_SECONDS
                self.end_fetch(fetch)
            else:
                self.unshared(fetch)
        text = b"gateway; fwd=%b; fwd-status=%d" % (reason, status)
        fields = [*answer.fields, (b"cache-status", text)]
        whole = UpstreamAnswer(status=answer.status, fields=fields, body=answer.body)
        return _confirming(whole, fetch.read) if answer.status == _OK else whole

    def _copy_of(self, fetch: Fetch, answer: UpstreamAnswer, now: float) -> Copy | None:
        freshness = freshness_of(answer.fields)
        names = {name for name, _ in answer.fields}
        if (
            answer.status != _OK
            or not freshness.stored
            or (fetch.read.token and not freshness.public)
            or names & {b"set-cookie", b"content-range"}
            or not _vary(answer.fields) <= _SELECTING | _UNSEEN
            or len(answer.body) > self._largest
        ):
            return None
        kept = without(answer.fields, b"age", b"cache-status")
        return Copy(
            fields=kept,
            body=answer.body,
            freshness=freshness,
            age=age_of(answer.fields),
            arrived=now,
        )

    def _share(
        self, fetch: Fetch, copy: Copy, reason: bytes, status: int, now: float
    ) -> UpstreamAnswer:
        """Keep a copy, and give it to the client of the fetch and to all who wait."""
        target = fetch.target
        if copy.freshness.public:
            target.private_until = float("-inf")
        vary = tuple(sorted(_vary(copy.fields) & _SELECTING))
        if vary != target.vary:
            self.copies.forget(target)
            target.vary = vary
        selection = target.selection(fetch.read.fields)
        self.copies.put(target, selection, copy)
        waiting, fetch.waiting = fetch.waiting, []
        target.fetch = None
        left = copy.seconds_left(now)
        for waiter in waiting:
            read = waiter.request
            fits = target.selection(read.fields) == selection
            if fits and (copy.freshness.public or not read.token):
                self._metrics.count(Use.COLLAPSED)
                text = b"gateway; fwd=%b; fwd-status=%d; collapsed; ttl=%d" % (reason, status, left)
                waiter.resume(_to_client(copy, read, now, text))
            else:
                waiter.resume(None)
        text = b"gateway; fwd=%b; fwd-status=%d; stored; ttl=%d" % (reason, status, left)
        return _to_client(copy, fetch.read, now, text)

    def failed(self, fetch: Fetch, why: bytes) -> UpstreamAnswer | None:
        """End a fetch because the service failed, and return an old copy if it may be sent then."""
        now, stale = self._clock(), fetch.stale
        fetch.target.failed_until = fetch.target.apart_until = now + APART_SECONDS
        self.end_fetch(fetch)
        if stale is None:
            return None
        left = stale.seconds_left(now)
        if -left >= stale.freshness.stale_on_error_seconds:
            return None
        self._metrics.count(Use.STALE)
        return _to_client(stale, fetch.read, now, b"gateway; hit; ttl=%d%b" % (left, why))

    def unshared(self, fetch: Fetch) -> None:
        """End a fetch whose response nobody else gets; for a while nobody waits for another."""
        self.copies.forget(fetch.target)
        fetch.target.apart_until = self._clock() + APART_SECONDS
        self.end_fetch(fetch)

    def end_fetch(self, fetch: Fetch) -> None:
        """End a fetch; those who wait ask again, and the first of them fetches."""
        if fetch.target.fetch is not fetch:
            return
        fetch.target.fetch = None
        waiting, fetch.waiting = fetch.waiting, []
        for waiter in waiting:
            waiter.resume(None)


def _read_of(request: UpstreamRequest) -> Read:
    return Read(
        fields=[item for item in request.fields if item[0] in _SELECTING],
        head=request.method == b"HEAD",
        token=request.authenticated or any(name == b"authorization" for name, _ in request.fields),
        known=value_of(request.fields, b"if-none-match"),
    )


def _for_service(fields: FieldLines) -> FieldLines:
    return [*(item for item in fields if item[0] in _PASSED_ON), _IDENTITY]


def _vary(fields: FieldLines) -> frozenset[bytes]:
    value = value_of(fields, b"vary")
    if value is None:
        return frozenset()
    return frozenset(name.strip().lower() for name in value.split(b",") if name.strip())


def _confirmed(stale: Copy, answer: UpstreamAnswer) -> UpstreamAnswer:
    """Return a copy as the 200 that a 304 stands for, with the fields of both (RFC 9111 §4.3.4)."""
    fields = replaced(stale.fields, answer.fields)
    return UpstreamAnswer(status=_OK, fields=fields, body=stale.body)


def _to_client(copy: Copy, read: Read, now: float, status: bytes) -> UpstreamAnswer:
    """Return a copy as the response to a request; 304 if its client has the same."""
    answer = _confirming(answer_of(copy, now, status), read)
    if read.head:
        answer.body = b""
    return answer


def _confirming(answer: UpstreamAnswer, read: Read) -> UpstreamAnswer:
    """Return a 200, or the 304 in its place if the client has the same."""
    tag = value_of(answer.fields, b"etag")
    if tag is None or read.known is None or not names_tag(read.known, tag):
        return answer
    fields = [item for item in answer.fields if item[0] in _OF_NOT_MODIFIED]
    return UpstreamAnswer(status=_NOT_MODIFIED, fields=fields)
