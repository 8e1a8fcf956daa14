"""Who may pass: the token is checked once, here, and each caller's requests are counted."""

from dataclasses import dataclass

from starlette.types import Scope

from chassis.auth.principal import Principal, Verifier
from chassis.errors import TooManyRequests, Unauthenticated
from gateway.addresses import Addresses, Origin, limit_key
from gateway.headers import RequestHead
from gateway.limits import Limits
from gateway.routes import Auth, LimitClass, Route


class LimitReached(TooManyRequests):
    """A caller has sent more than its share; `fields` are for the answer."""

    def __init__(self, detail: str, *, retry_after: int, fields: list[tuple[bytes, bytes]]) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may pass: where it came from, and fields for its answer."""

    origin: Origin
    fields: list[tuple[bytes, bytes]]


class Admission:
    """Decides.

    Args:
        verifier: of access tokens.
        limits: None where they are off.
        addresses: finds the client's.
    """

    def __init__(self, *, verifier: Verifier, limits: Limits | None, addresses: Addresses) -> None:
        self._verifier = verifier
        self._limits = limits
        self._addresses = addresses

    async def admit(self, scope: Scope, head: RequestHead, route: Route) -> Admitted:
        """Let a request pass.

        Raises:
            LimitReached: its caller has sent too many.
            Unauthenticated: it has no good token, and needs one.
        """
        origin = self._addresses.origin(scope, head.forwarded.get(b"x-forwarded-for"))
        caller = self._authenticate(head, route)
        fields: list[tuple[bytes, bytes]] = []
        if self._limits is not None:
            # A bad token counts for its address: to try tokens must not be free of charge.
            if isinstance(caller, Principal) and route.limit is LimitClass.DEFAULT:
                key = f"user:{caller.user_id}"
            else:
                key = f"address:{limit_key(origin.client)}"
            fields = await self._count(self._limits, route.limit, key)
        if isinstance(caller, Unauthenticated):
            raise caller
        return Admitted(origin, fields)

    def _authenticate(self, head: RequestHead, route: Route) -> Principal | Unauthenticated | None:
        if route.auth is Auth.PUBLIC:
            return None
        token = head.bearer
        if not token:
            if token is None and route.auth is Auth.OPTIONAL:
                return None
            return Unauthenticated("send the header `Authorization: Bearer <access token>`")
        try:
            return self._verifier.verify(token)
        except ValueError as error:
            return Unauthenticated(str(error))

    async def _count(
        self, limits: Limits, limit: LimitClass, key: str
    ) -> list[tuple[bytes, bytes]]:
        verdict = await limits.hit(limit, key)
        if verdict.allowed:
            return verdict.fields
        seconds = verdict.retry_after
        message = f"that was more than the limit `{limit}` allows: wait {seconds} s"
        raise LimitReached(message, retry_after=seconds, fields=verdict.fields)
