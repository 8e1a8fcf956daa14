"""Decide whether a request may pass: check its token and count it against its caller's limit."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import unquote
from uuid import UUID

from starlette.types import Scope

from chassis.auth.api_keys import is_api_key
from chassis.auth.principal import NOT_AUTHENTICATED, Principal, Verifier
from chassis.errors import TooManyRequests, Unauthenticated
from chassis.http.context import path_of, request_id_of
from chassis.http.methods import allow_fields
from chassis.telemetry.logging import note_user
from chassis.wire_names import REAL_IP, REQUEST_ID
from gateway.addresses import Addresses, Origin
from gateway.api_keys import ApiKeys, Grant, RefusedKey
from gateway.errors import Refused
from gateway.headers import RequestHead
from gateway.limits import EXACT, Limits, Verdict
from gateway.methods import Methods
from gateway.opaque import text_of
from gateway.routes import Auth, LimitClass, Route

_KEY_REFUSED = (
    "The API key is malformed, unknown or expired, or was revoked, or its owner's account is not "
    "active. Create another key."
)


COUNTED = "slipway.counted"
"""The key in the ASGI scope of the fields that a counted request's response has."""


class LimitReached(TooManyRequests):
    """A caller exceeded its rate limit. `fields` are added to the response.

    `name` and `title` are those of `TooManyRequests`, so that all limits share one problem type.
    """

    name = TooManyRequests.name
    title = TooManyRequests.title

    def __init__(self, detail: str, *, retry_after: int, fields: list[tuple[bytes, bytes]]) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.fields = fields


class _UnknownKey:
    """The credential is an API key that must be exchanged."""


_UNKNOWN_KEY = _UnknownKey()
type Caller = Principal | Unauthenticated | _UnknownKey | None


class Incoming(Protocol):
    """A request that wants to pass.

    Attributes:
        origin: where it came from.
        method: the method; GET for the handshake of a WebSocket.
        raw_path: the path as sent.
        request_id: its id.
    """

    @property
    def origin(self) -> Origin:  # noqa: D102 - see the class
        ...

    @property
    def method(self) -> str:  # noqa: D102 - see the class
        ...

    @property
    def raw_path(self) -> bytes:  # noqa: D102 - see the class
        ...

    @property
    def request_id(self) -> str:  # noqa: D102 - see the class
        ...


class ScopedRequest:
    """A request that has an ASGI scope.

    Args:
        scope: the scope.
        addresses: finds the client's address.
    """

    def __init__(self, scope: Scope, addresses: Addresses) -> None:
        self.origin = addresses.origin(scope)
        self.method: str = scope.get("method", "GET")
        self.raw_path: bytes = scope["raw_path"]
        self.request_id = request_id_of(scope)
        self._scope = scope

    def passed(self, admitted: "Admitted") -> "Admitted":
        """Return `admitted`, or raise its refusal.

        Its fields are kept for any response, and its user for the log lines.
        """
        self._scope[COUNTED] = admitted.fields
        if admitted.user_id is not None:
            note_user(admitted.user_id)
        return admitted.passed()


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Admitted:
    """A request that was counted, and may pass unless there is a refusal.

    Attributes:
        origin: where it came from.
        fields: header fields for its response.
        caller: who sent it; None if the route needs no token and none was sent.
        refusal: why it may not pass, although it was counted; None if it may.
    """

    origin: Origin
    fields: list[tuple[bytes, bytes]]
    caller: Principal | None
    refusal: Unauthenticated | Refused | None = None

    @property
    def user_id(self) -> UUID | None:
        """The user who sent it, if there is a caller."""
        return None if self.caller is None else self.caller.user_id

    def passed(self) -> "Admitted":
        """Return this; raise the refusal if there is one."""
        if self.refusal is not None:
            raise self.refusal
        return self


class Admission:
    """Decides whether a request may pass.

    Args:
        verifier: verifies access tokens.
        api_keys: exchanges API keys for access tokens.
        limits: the rate limits; None if they are off.
        methods: the methods that each path offers.
    """

    def __init__(
        self,
        *,
        verifier: Verifier,
        api_keys: ApiKeys,
        limits: Limits | None,
        methods: Methods,
    ) -> None:
        self._verifier = verifier
        self._api_keys = api_keys
        self._limits = limits
        self._methods = methods

    def admit_now(self, request: Incoming, head: RequestHead, route: Route) -> Admitted | None:
        """Return the counted request; None if `admit` must be awaited to decide.

        Raises:
            LimitReached: the caller has sent too many requests.
        """
        caller = self._known_caller(head, route)
        if caller is _UNKNOWN_KEY:
            return None
        fields: list[tuple[bytes, bytes]] = []
        if self._limits is not None:
            # An invalid token counts against the address, so that guessing tokens is limited too.
            limit, key = _counted(caller, route, request.origin)
            if limit in EXACT:
                return None
            verdict = self._limits.count(limit, key)
            fields = verdict.fields if verdict.allowed else _allowed(limit, verdict)
        if isinstance(caller, Principal):
            return Admitted(request.origin, fields, caller)
        return self._admitted(request, caller, fields)

    async def admit(self, request: Incoming, head: RequestHead, route: Route) -> Admitted:
        """Return the counted request.

        Its refusal is 405 if it has no valid token and the path offers its method to nobody, or
        401 if the route requires a valid token, or the token or API key sent is not valid.

        Raises:
            LimitReached: the caller has sent too many requests.
            Unavailable: the API key sent could not be verified.
        """
        caller = self._known_caller(head, route)
        if caller is _UNKNOWN_KEY:
            caller = await self._exchanged_caller(head.bearer or "", request, head)
        fields: list[tuple[bytes, bytes]] = []
        if self._limits is not None:
            limit, key = _counted(caller, route, request.origin)
            fields = _allowed(limit, await self._limits.hit(limit, key))
        return self._admitted(request, caller, fields)

    def _admitted(
        self, request: Incoming, caller: Caller, fields: list[tuple[bytes, bytes]]
    ) -> Admitted:
        if isinstance(caller, Principal):
            return Admitted(request.origin, fields, caller)
        refusal = None
        if isinstance(caller, Unauthenticated):
            refusal = self._not_offered(request) or caller
        return Admitted(request.origin, fields, None, refusal)

    def _known_caller(self, head: RequestHead, route: Route) -> Caller:
        """Return the caller, or that the credential is an API key that must be exchanged.

        No service may see a key: an access token is passed on instead of it, and on a public route
        neither.
        """
        credential = head.bearer
        if not credential or not is_api_key(credential):
            return self._authenticate(credential, route)
        if route.auth is Auth.PUBLIC:
            head.replace_bearer(None)
            return None
        outcome = self._api_keys.known(credential)
        return _UNKNOWN_KEY if outcome is None else _caller_of(outcome, head)

    async def _exchanged_caller(self, key: str, request: Incoming, head: RequestHead) -> Caller:
        origin = request.origin
        outcome = await self._api_keys.exchange(
            key,
            fields=[(REQUEST_ID, request.request_id), (REAL_IP, origin.client)],
            allow=partial(self._count_exchange, origin),
        )
        return _caller_of(outcome, head)

    async def _count_exchange(self, origin: Origin) -> None:
        """Count an exchange by the client's address: the key may be a guess."""
        if self._limits is not None:
            limit = LimitClass.API_KEY_EXCHANGE
            _allowed(limit, await self._limits.hit(limit, origin.limit_key))

    def _authenticate(self, token: str | None, route: Route) -> Principal | Unauthenticated | None:
        if route.auth is Auth.PUBLIC:
            return None
        if not token:
            if token is None and route.auth is Auth.OPTIONAL:
                return None
            return Unauthenticated(NOT_AUTHENTICATED)
        try:
            return self._verifier.verify(token)
        except ValueError as error:
            return Unauthenticated(str(error))

    def _not_offered(self, request: Incoming) -> Refused | None:
        """Return the refusal (405) if the path does not offer the method.

        A path that is in no document passes: the caller gets 401 whether the path exists or not.
        """
        methods = self._methods.of(text_of(request.raw_path))
        method = request.method
        if methods and method not in methods:
            path = path_of({"path": unquote(text_of(request.raw_path))})
            return Refused(
                405,
                f"{path} does not accept {method}. Use one of: {', '.join(methods)}.",
                headers=allow_fields(methods),
            )
        return None


def _caller_of(outcome: Grant | RefusedKey, head: RequestHead) -> Caller:
    if not isinstance(outcome, Grant):
        return Unauthenticated(_KEY_REFUSED)
    head.replace_bearer(outcome.token)
    return outcome.principal


def _allowed(limit: LimitClass, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """Return the fields for the response; raise LimitReached if the request may not pass."""
    if verdict.allowed:
        return verdict.fields
    seconds = verdict.retry_after
    message = (
        f"The requests exceed the limit `{limit}`. Wait {seconds} s, then send the request again."
    )
    raise LimitReached(message, retry_after=seconds, fields=verdict.fields)


def _counted(caller: Caller, route: Route, origin: Origin) -> tuple[LimitClass, str]:
    """Return the limit and the key that a request counts against."""
    if not isinstance(caller, Principal):
        return route.limit, origin.limit_key
    if caller.api_key_id is not None and route.limit is LimitClass.DEFAULT:
        return LimitClass.API_KEY, f"api_key:{caller.api_key_id}"
    return route.limit, f"user:{caller.subject}"
