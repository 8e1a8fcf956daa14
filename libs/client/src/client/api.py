"""The client: the calls of all nouns, and the live feed."""

from typing import Final, Literal

import httpx

from client.accounts import AccountCalls
from client.announcements import AnnouncementCalls
from client.api_keys import ApiKeyCalls
from client.audit import AuditCalls
from client.calls import BASE, params_of
from client.catalog import CatalogCalls
from client.feed import Feed
from client.following import BACKOFF, FollowedFeed
from client.notifications import NotificationCalls
from client.orders import OrderCalls
from client.passwords import PasswordCalls
from client.preferences import PreferenceCalls
from client.retries import Backoff
from client.second_factors import SecondFactorCalls
from client.sessions import SessionCalls
from client.streams import Stream
from client.tokens import Token
from client.webhooks import WebhookCalls

# The server sends a comment each 20 s. A connection that is silent for longer is dead.
_SILENT_SECONDS: Final = 60.0


class SlipwayClient(
    AccountCalls,
    PasswordCalls,
    SessionCalls,
    SecondFactorCalls,
    ApiKeyCalls,
    AuditCalls,
    CatalogCalls,
    OrderCalls,
    NotificationCalls,
    PreferenceCalls,
    AnnouncementCalls,
    WebhookCalls,
):
    """An async client of one gateway. Use it as an async context manager.

    It has a method for each call of the API. The class of each noun, such as `OrderCalls`, has
    those of the noun; `Calls` describes the arguments, errors and retries of all of them.

    A call that needs authentication takes a token: an access token, an API key, or the
    `RenewingToken` of `open_session`.
    """

    def feed(self, token: str, last_event_id: int | None = None) -> Feed:
        """Return one connection to the user's live feed. `async with` opens it."""
        return Feed(
            url=f"ws{self._base_url.removeprefix('http')}{BASE}/notifications/ws",
            token=token,
            last_event_id=last_event_id,
            timeout=self._timeout,
            trust_env=self._trust_env,
        )

    def stream(self, token: str, last_event_id: int | None = None) -> Stream:
        """Return one connection as server-sent events, for networks that let no WebSocket pass."""
        path = f"{BASE}/notifications/stream"
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
        return Stream(
            url=f"{self._base_url}{path}",
            request=lambda: self._http.stream(
                "GET",
                path,
                headers=headers,
                params=params_of(last_event_id=last_event_id),
                timeout=httpx.Timeout(self._timeout, read=_SILENT_SECONDS),
            ),
        )

    def follow(
        self,
        token: Token,
        *,
        last_event_id: int | None = None,
        backoff: Backoff = BACKOFF,
        over: Literal["socket", "stream"] = "socket",
    ) -> FollowedFeed:
        """Return the user's live feed, which connects again and resumes whenever it is lost.

        Args:
            token: authenticates the user; the feed accepts no API key.
            last_event_id: the last item that the caller has seen. None starts with new items, 0
                with the oldest item that the server keeps.
            backoff: the delays between connections.
            over: the transport. The items are the same.
        """
        connect = self.feed if over == "socket" else self.stream
        return FollowedFeed(connect, token, last_event_id=last_event_id, backoff=backoff)
