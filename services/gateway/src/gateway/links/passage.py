"""The way of one request through the links of its route.

A route has `RouteLinks`. They make a `Passage` for a request that a link has something to do with,
and None for all others, whose responses stream through untouched.
"""

from collections.abc import Callable
from typing import Final

from gateway.errors import Refused
from gateway.exchange import READS, FieldLines, UpstreamAnswer, UpstreamRequest
from gateway.links.cache import Cache, Fetch, Waiter
from gateway.links.media import Media
from gateway.links.representation import (
    NEGOTIATED_FIELDS,
    Choice,
    Preferences,
    choice_of,
    needs_whole,
    represented,
)
from gateway.routes import Route

MAX_HELD_BYTES: Final = 1024 * 1024
"""The largest response that is held whole; a larger one streams through, without the links."""
_PLAIN = Choice()


class RouteLinks:
    """The links of one route.

    Args:
        route: the route.
        cache: the process's cache; None keeps no copies.

    Attributes:
        cacheable: whether copies of its responses are kept.
    """

    def __init__(self, route: Route, *, cache: Cache | None) -> None:
        self._preferences = Preferences()
        self._represented = route.represented
        self._prefix = route.prefix
        self._copies = cache
        self._cache = cache if route.cacheable else None
        self.cacheable = self._cache is not None

    def changed(self) -> None:
        """Drop the copies of the route: a request has changed something below it."""
        if self._copies is not None:
            self._copies.changed(self._prefix)

    def enter(self, request: UpstreamRequest, resume: Callable[[], None]) -> "Passage | None":
        """Let a request enter; its fields become those for the service.

        Args:
            request: the request.
            resume: called once the passage has to be looked at again; see `Passage.waiting`.

        Returns:
            The passage, or None if the response may stream through.

        Raises:
            Refused: the client accepts no form that the route has.
        """
        choice = _PLAIN
        if self._represented and any(name in NEGOTIATED_FIELDS for name, _ in request.fields):
            choice = choice_of(request, self._preferences)
        if self._cache is None or request.method not in READS:
            return None if choice.changes_nothing else Passage(choice)
        passage = Passage(choice)
        passage.read(self._cache, request, resume)
        return passage


class Passage:
    """What the links know of one request.

    Exactly one of `finish`, `fail` and `leave` ends it; `leave` may follow, and does nothing then.

    Args:
        choice: what the client prefers.

    Attributes:
        waiting: whether the response to another request is awaited. Later `resume` is called, and
            it no longer waits.
    """

    __slots__ = ("_choice", "_fetch", "_found", "_waiter", "waiting")

    def __init__(self, choice: Choice) -> None:
        self.waiting = False
        self._choice = choice
        self._found: UpstreamAnswer | None = None
        self._fetch: Fetch | None = None
        self._waiter: Waiter | None = None

    @property
    def answered(self) -> bool:
        """Whether there is a response without asking the service."""
        return self._found is not None

    def read(self, cache: Cache, request: UpstreamRequest, resume: Callable[[], None]) -> None:
        """Look for a copy, or for another request that is fetching one."""
        sent = request.fields

        def ask() -> None:
            request.fields = list(sent)
            found = cache.enter(request, resumed)
            if isinstance(found, Waiter):
                self._waiter = found
            elif isinstance(found, Fetch):
                self._fetch = found
            else:
                self._found = found
            self.waiting = self._waiter is not None

        def resumed(answer: UpstreamAnswer | None) -> None:
            self._waiter, self._found, self.waiting = None, answer, False
            if answer is None:
                ask()
            if not self.waiting:
                resume()

        ask()

    def take(self) -> UpstreamAnswer:
        """Return the response that was found, as the client prefers it.

        Raises:
            Refused: it has no form that the client accepts.
            LookupError: there is none; see `answered`.
        """
        if self._found is None:
            message = "the passage has no response: ask the service"
            raise LookupError(message)
        return represented(self._choice, self._found)

    def holds(self, status: int, fields: FieldLines) -> bool:
        """Return whether the service's response is held until it is whole, for `finish`."""
        return self._fetch is not None or needs_whole(self._choice, status, fields)

    def finish(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Return what the client gets for a whole response of the service.

        Raises:
            Refused: the response has no form that the client accepts.
        """
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            answer = fetch.done(answer)
        return represented(self._choice, answer)

    def overflow(self, status: int, fields: FieldLines) -> None:
        """Take note that a response is too large to be held, and streams through.

        Raises:
            Refused: 406 if it had to become XML.
        """
        if self._fetch is not None:
            self._fetch.unshared()
            self._fetch = None
        if self._choice.media is Media.XML and needs_whole(self._choice, status, fields):
            message = (
                f"The response is larger than {MAX_HELD_BYTES} bytes, and only smaller ones are "
                "represented as XML. Ask for application/json."
            )
            raise Refused(406, message)

    def fail(self) -> UpstreamAnswer | None:
        """Return what the client gets because the service failed; None: the failure itself."""
        fetch, self._fetch = self._fetch, None
        old = None if fetch is None else fetch.failed()
        return None if old is None else represented(self._choice, old)

    def leave(self) -> None:
        """End it without a response: the client disconnected, or its time is over."""
        if self._fetch is not None:
            self._fetch.left()
            self._fetch = None
        if self._waiter is not None:
            self._waiter.leave()
            self._waiter = None
