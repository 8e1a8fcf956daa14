"""Serves one request with an app whose database and tokens are fakes, and tells what happened."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote
from uuid import UUID

from fastapi import APIRouter, FastAPI
from starlette.types import Message

from chassis.auth import Principal
from chassis.http import create_app
from chassis.http.lean import LeanRoutes
from chassis.process import Process
from chassis.settings import Environment, ProcessSettings

USER = UUID(int=7)
GOOD, NARROW = "good", "narrow"  # access tokens with every scope, and with none


class Anything:
    """Has every attribute, can be called, and returns itself."""

    def __getattr__(self, name: str) -> "Anything":
        """Return itself, except for what Python's protocols look for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> "Anything":
        """Return itself."""
        return self

    def __repr__(self) -> str:
        """Return the same text for each."""
        return "anything"


class _EveryScope:
    """A set of all scopes."""

    def __rsub__(self, other: object) -> set[str]:
        """Return the scopes of `other` that this set lacks."""
        return set()

    def __repr__(self) -> str:
        """Return the same text for each."""
        return "every scope"


@dataclass(frozen=True, slots=True)
class Fakes:
    """The database and the verifier of an app; both record what is done with them."""

    effects: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Anything]:
        """Record a transaction and its end."""
        self.effects.append("begin")
        try:
            yield Anything()
        except BaseException as error:
            self.effects.append(f"roll back after {type(error).__name__}")
            raise
        self.effects.append("commit")

    def verify(self, token: str) -> Principal:
        """Return the principal of one of the two tokens."""
        self.effects.append(f"verify {token}")
        if token not in {GOOD, NARROW}:
            message = "the token is none of the test's"
            raise ValueError(message)
        return Principal(
            user_id=USER,
            session_id=UUID(int=8),
            api_key_id=None,
            roles=frozenset(),
            scopes=cast("frozenset[str]", _EveryScope()) if token == GOOD else frozenset(),
            expires_at=4_000_000_000,
            key_id="k",
            authenticated_at=1_000_000_000,
            methods=frozenset({"pwd"}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it is sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a request caused: its response, and what was done in which order."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    effects: tuple[str, ...]
    route: Any


class Form:
    """An app in one of its two forms.

    Args:
        routers: the routes.
        lean: whether lean routes are served as such; else FastAPI serves all.
    """

    def __init__(self, routers: Iterable[APIRouter], *, lean: bool) -> None:
        self.fakes = Fakes()
        self.app = _app(routers, self.fakes)
        if not lean:
            layers: list[Any] = self.app.user_middleware
            self.app.user_middleware = [one for one in layers if one.cls is not LeanRoutes]

    async def outcome(self, sent: Sent) -> Outcome:
        """Serve a request."""
        self.fakes.effects.clear()
        messages: list[Message] = []
        parts = iter([{"type": "http.request", "body": sent.body, "more_body": False}])

        async def receive() -> Message:
            part = next(parts, None)
            return part or await asyncio.Future[Message]()  # the client stays until the response

        async def send(message: Message) -> None:
            self.fakes.effects.append(message["type"])
            messages.append(message)

        scope = _scope(sent)
        await self.app(scope, receive, send)
        start, *rest = messages
        return Outcome(
            status=start["status"],
            headers=tuple(start["headers"]),
            body=b"".join(one.get("body", b"") for one in rest),
            effects=tuple(self.fakes.effects),
            route=getattr(scope.get("route"), "path", None),
        )


def _app(routers: Iterable[APIRouter], fakes: Fakes) -> FastAPI:
    settings = ProcessSettings.model_construct(environment=Environment.DEVELOPMENT)
    app = create_app(
        title="Forms",
        description="",
        process=Process(name="forms", settings=settings),
        routers=routers,
        open_resources=lambda _: cast("Any", Anything()),
    )
    for name in ("resources", "dead_letters", "jobs", "replays", "audit"):
        setattr(app.state, name, Anything())
    app.state.database = app.state.verifier = fakes
    app.state.effects = fakes.effects
    return app


def _scope(sent: Sent) -> dict[str, Any]:
    path, _, query = sent.target.partition("?")
    headers: Sequence[tuple[str, str]] = (*sent.headers, ("x-request-id", "forms"))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "state": {},
    }
