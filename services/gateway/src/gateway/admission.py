"""Decide whether a request may pass: check its token and count it against its caller's limit."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from starlette.types import Scope

from chassis.auth.api_keys import is_api_key
from chassis.auth.principal import NOT_AUTHENTICATED, Principal, Verifier
from chassis.errors import TooManyRequests, Unauthenticated
from chassis.http.context import path_of, request_id_of
from chassis.wire_names import REAL_IP, REQUEST_ID
from gateway.addresses import Addresses, Origin, limit_key
from gateway.api_keys import ApiKeys, Grant
from gateway.errors import Refused
from gateway.headers import RequestHead
from gateway.limits import Limits
from gateway.methods import Methods
from gateway.opaque import text_of
from gateway.routes import Auth, LimitClass, Route

_KEY_REFUSED = (
    "The API key is malformed, unknown or expired, or was revoked, or its owner's account is not "
    "active. Create another key."
)


class LimitReached(TooManyRequests):
    """A caller exceeded its rate limit. `fields` are added to the response.

    `name` and `title` are those of `TooManyRequests`, so that all limits share one problem type.
    """

    name = TooManyRequests.name
    title = TooManyRequests.title

    def __init__(self, detail: str, *, retry_after: int, fields: list[tuple[bytes, bytes]]) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may pass.

    Attributes:
        origin: where it came from.
        fields: header fields for its response.
        user_id: the user who sent it; None if the route needs no token and none was sent.
    """

    origin: Origin
    fields: list[tuple[bytes, bytes]]
    user_id: UUID | None


class Admission:
    """Decides whether a request may pass.

    Args:
        verifier: verifies access tokens.
        api_keys: exchanges API keys for access tokens.
        limits: the rate limits; None if they are off.
        addresses: finds the client's address.
        methods: the methods that each path offers.
    """

    def __init__(
        self,
        *,
        verifier: Verifier,
        api_keys: ApiKeys,
        limits: Limits | None,
        addresses: Addresses,
        methods: Methods,
    ) -> None:
        self._verifier = verifier
        self._api_keys = api_keys
        self._limits = limits
        self._addresses = addresses
        self._methods = methods

    async def admit(self, scope: Scope, head: RequestHead, route: Route) -> Admitted:
        """Return the admitted request, or raise the reason why it may not pass.

        Raises:
            LimitReached: the caller has sent too many requests.
            Refused: 405. The request has no valid token, and the path offers its method to nobody.
            Unauthenticated: the route requires a valid token, or the token or API key sent is not
                valid.
            Unavailable: the API key sent could not be verified.
        """
        origin = self._addresses.origin(scope)
        credential = head.bearer
        if credential and is_api_key(credential):
            caller = await self._caller_of_key(credential, scope, head, route, origin)
        else:
            caller = self._authenticate(credential, route)
        fields: list[tuple[bytes, bytes]] = []
        if self._limits is not None:
            # An invalid token counts against the address, so that guessing tokens is limited too.
            limit, key = _counted(caller, route, origin)
            fields = await self._count(self._limits, limit, key)
        if isinstance(caller, Unauthenticated):
            self._check_method(scope)
            raise caller
        return Admitted(origin, fields, None if caller is None else caller.user_id)

    async def _caller_of_key(
        self, key: str, scope: Scope, head: RequestHead, route: Route, origin: Origin
    ) -> Principal | Unauthenticated | None:
        """Return the caller that an API key stands for, and pass on an access token instead of it.

        No service may see a key, so a public route gets neither.
        """
        if route.auth is Auth.PUBLIC:
            head.replace_bearer(None)
            return None
        outcome = self._api_keys.known(key)
        if outcome is None:
            outcome = await self._api_keys.exchange(
                key,
                fields=[(REQUEST_ID, request_id_of(scope)), (REAL_IP, origin.client)],
                allow=partial(self._count_exchange, origin),
            )
        if not isinstance(outcome, Grant):
            return Unauthenticated(_KEY_REFUSED)
        head.replace_bearer(outcome.token)
        return outcome.principal

    async def _count_exchange(self, origin: Origin) -> None:
        """Count an exchange by the client's address: the key may be a guess."""
        if self._limits is not None:
            key = f"address:{limit_key(origin.client)}"
            await self._count(self._limits, LimitClass.API_KEY_EXCHANGE, key)

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

    def _check_method(self, scope: Scope) -> None:
        """Raise Refused (405) if the path does not offer the method.

        A path that is in no document passes: the caller gets 401 whether the path exists or not.
        """
        methods = self._methods.of(text_of(scope["raw_path"]))
        method = scope.get("method", "GET")  # a WebSocket's handshake is a GET
        if methods and method not in methods:
            raise Refused(
                405,
                f"{path_of(scope)} does not accept {method}. Use one of: {', '.join(methods)}.",
                headers={"Allow": ", ".join(methods)},
            )

    async def _count(
        self, limits: Limits, limit: LimitClass, key: str
    ) -> list[tuple[bytes, bytes]]:
        verdict = await limits.hit(limit, key)
        if verdict.allowed:
            return verdict.fields
        seconds = verdict.retry_after
        message = (
            f"The requests exceed the limit `{limit}`. Wait {seconds} s, then send the request "
            "again."
        )
        raise LimitReached(message, retry_after=seconds, fields=verdict.fields)


def _counted(
    caller: Principal | Unauthenticated | None, route: Route, origin: Origin
) -> tuple[LimitClass, str]:
    """Return the limit and the key that a request counts against."""
    if not isinstance(caller, Principal):
        return route.limit, f"address:{limit_key(origin.client)}"
    if caller.api_key_id is not None and route.limit is LimitClass.DEFAULT:
        return LimitClass.API_KEY, f"api_key:{caller.api_key_id}"
    return route.limit, f"user:{caller.user_id}"
