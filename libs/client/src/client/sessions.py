"""Log-in sessions: opening, listing and ending them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

from client.calls import Calls, params_of
from client.errors import AnswerError, TokenError
from client.shapes import Answer, Page
from client.tokens import RenewingToken, Token, Tokens

# A refresh whose response is lost must be repeated within 10 s: later, the server takes it for the
# use of a stolen token, and ends the session. The gateway itself responds within 5 s.
_REFRESH_SECONDS: Final = 6.0


class Session(Answer):
    """A log-in session that has neither ended nor expired; `current` is that of the token.

    `methods` says how the user logged in (RFC 8176): `pwd`, `otp`, …
    """

    id: UUID
    device: str | None
    user_agent: str | None
    address: str | None
    methods: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    current: bool


class SessionCalls(Calls):
    """The calls that concern log-in sessions."""

    async def login(self, *, email: str, password: str, totp: str | None = None) -> Tokens:
        """Open a log-in session and return its tokens; see ``open_session`` for a long one.

        Args:
            email: the account's address.
            password: the account's password.
            totp: a code of the authenticator app, or a recovery code. If TOTP is on and this is
                None, the problem is `totp-required`: ask the user, and repeat the call.
        """
        body = {"email": email, "password": password}
        if totp is not None:
            body["totp"] = totp
        return await self.call(Tokens, "POST", "/auth/login", json=body)

    async def open_session(
        self, *, email: str, password: str, totp: str | None = None
    ) -> RenewingToken:
        """Open a log-in session, and return its token, which renews itself. See ``login``."""
        return self.renewing(await self.login(email=email, password=password, totp=totp))

    def renewing(self, tokens: Tokens) -> RenewingToken:
        """Return a token that renews itself from the tokens of a log-in."""
        token = RenewingToken(tokens, self.refresh)
        self._renewing.add(token)
        return token

    async def resume_session(self, refresh_token: str) -> RenewingToken:
        """Continue a session whose refresh token was stored, and return its token.

        Store `token.tokens.refresh_token` of the result: the old refresh token is of no use now.
        """
        return self.renewing(await self.refresh(refresh_token))

    async def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token for new tokens.

        The call is attempted again if its response is lost: for 10 seconds the server returns the
        same successor.

        Raises:
            TokenError: the session has ended, or the token was used already.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        timeout = min(self._timeout, _REFRESH_SECONDS)
        with _token_errors():
            return await self.call(
                Tokens, "POST", "/auth/token", repeatable=True, data=form, timeout=timeout
            )

    async def revoke(self, token: Token | Tokens) -> None:
        """Log out: end the session of an access token, a refresh token or both.

        Raises:
            TokenError: the token belongs to an API key.
        """
        if isinstance(token, RenewingToken):
            token = token.tokens
        if isinstance(token, Tokens):
            # An access token that has expired would end nothing.
            token = token.refresh_token or token.access_token
        with _token_errors():
            await self.send("POST", "/auth/revoke", repeatable=True, data={"token": token})

    async def list_sessions(
        self, token: Token, *, limit: int = 20, cursor: str | None = None
    ) -> Page[Session]:
        """Return one page of one's own log-in sessions, newest first."""
        params = params_of(limit=limit, cursor=cursor)
        return await self.call(Page[Session], "GET", "/auth/sessions", token=token, params=params)

    async def end_session(self, token: Token, session_id: UUID) -> None:
        """End one of one's own log-in sessions. One that has already ended stays so."""
        await self.send("DELETE", f"/auth/sessions/{session_id}", token=token, repeatable=True)

    async def end_all_sessions(self, token: Token) -> None:
        """End all one's own log-in sessions, also the one of the token."""
        await self.send("DELETE", "/auth/sessions", token=token)


@contextmanager
def _token_errors() -> Iterator[None]:
    """Raise what OAuth 2's endpoints reject as a TokenError: they send no problem documents."""
    try:
        yield
    except AnswerError as error:
        refusal = TokenError.of(error.response)
        if refusal is None:
            raise
        raise refusal from error
