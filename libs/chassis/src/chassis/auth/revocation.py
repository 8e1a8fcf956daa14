"""Ended log-in sessions and API keys, remembered until their last access token has expired."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

MARGIN = timedelta(seconds=60)
"""The largest difference between the clocks of two machines that is tolerated."""


class RevokedSessions:
    """The sessions and API keys whose tokens are rejected, each until its last token has expired.

    Args:
        token_lifetime: the lifetime of access tokens.
    """

    def __init__(self, *, token_lifetime: timedelta) -> None:
        self._keep = (token_lifetime + MARGIN).total_seconds()
        self._expiry: OrderedDict[UUID, float] = OrderedDict()

    def add(self, sessions: Iterable[UUID], *, at: datetime) -> None:
        """Reject the tokens of `sessions`, which ended at the time `at`."""
        now = time.time()
        expiry = at.timestamp() + self._keep
        if expiry > now:
            for session in sessions:
                self._expiry[session] = max(expiry, self._expiry.pop(session, expiry))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop expired entries, oldest first, up to the first that has not expired.

        Entries are added approximately in the order of their expiry.
        """
        while self._expiry:
            session = next(iter(self._expiry))
            if self._expiry[session] > now:
                return
            del self._expiry[session]

    def __contains__(self, session: object) -> bool:
        """Return whether a session's tokens are rejected."""
        return session in self._expiry

    def __len__(self) -> int:
        """Return the number of remembered sessions."""
        return len(self._expiry)
