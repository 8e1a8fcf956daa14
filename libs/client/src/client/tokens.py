"""Access tokens that renew themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import Field

from client.shapes import Answer

_LEEWAY_SECONDS: Final = 30.0
_LEEWAY_PART: Final = 0.2


class Tokens(Answer):
    """An access token and the refresh token that renews it once; `expires_in` is in seconds.

    `refresh_token` is None if the server has put it into a cookie.
    """

    access_token: str = Field(repr=False)
    refresh_token: str | None = Field(default=None, repr=False)
    token_type: str = "Bearer"  # noqa: S105  # RFC 6750's name of the type
    expires_in: int
    scope: str


class RenewingToken:
    """The access token of one log-in session. Pass it wherever a call takes a token.

    It is renewed shortly before it expires, and once for a call that the server rejects with 401.
    Concurrent calls share one renewal: a refresh token is exchanged only once, and a second use of
    it ends the session.

    Args:
        tokens: the tokens of the log-in.
        refresh: exchanges a refresh token for new tokens.
        clock: the seconds of a monotonic clock.
    """

    def __init__(
        self,
        tokens: Tokens,
        refresh: Callable[[str], Awaitable[Tokens]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refresh = refresh
        self._clock = clock
        self._renewal: asyncio.Task[None] | None = None
        self._keep(tokens)

    @property
    def tokens(self) -> Tokens:
        """The present tokens, e.g. to store the refresh token until the next start."""
        return self._tokens

    async def access_token(self) -> str:
        """Return an access token that is valid for some seconds more."""
        if self._clock() >= self._renew_at:
            return await self.renew(self._tokens.access_token)
        return self._tokens.access_token

    async def renew(self, rejected: str) -> str:
        """Return an access token that is newer than `rejected`.

        Raises:
            TokenError: the log-in session has ended. Log in again.
        """
        if self._tokens.access_token == rejected:
            if self._renewal is None:
                self._renewal = asyncio.create_task(self._exchange())
                self._renewal.add_done_callback(self._renewed)
            # A cancelled caller must not cancel the exchange: others wait for it, too, and the old
            # refresh token is worthless as soon as the server has exchanged it.
            # No shield: since Python 3.14 it reports an error after its cancellation as unhandled.
            renewal = self._renewal
            await asyncio.wait([renewal])
            renewal.result()
        return self._tokens.access_token

    async def settle(self) -> None:
        """Wait until a renewal that is under way has ended, whatever its result."""
        if self._renewal is not None:
            await asyncio.wait([self._renewal])

    async def _exchange(self) -> None:
        self._keep(await self._refresh(self._tokens.refresh_token or ""))

    def _renewed(self, renewal: asyncio.Task[None]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # nobody may be left to retrieve it

    def _keep(self, tokens: Tokens) -> None:
        leeway = min(_LEEWAY_SECONDS, tokens.expires_in * _LEEWAY_PART)
        self._tokens = tokens
        self._renew_at = self._clock() + tokens.expires_in - leeway


type Token = str | RenewingToken
"""What authenticates a call: an access token, an API key, or a token that renews itself."""


async def access_token_of(token: Token) -> str:
    """Return the access token to send now."""
    return token if isinstance(token, str) else await token.access_token()
