"""Sessions that ended while access tokens of them are still good; kept until those have expired."""

import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

MARGIN = timedelta(seconds=60)
"""How far apart the clocks of two machines may be."""


class RevokedSessions:
    """The sessions whose tokens are refused; forgets each when its last token has expired.

    Args:
        token_lifetime: of access tokens.
    """

    def __init__(self, *, token_lifetime: timedelta) -> None:
        self._keep = (token_lifetime + MARGIN).total_seconds()
        self._expiry: OrderedDict[UUID, float] = OrderedDict()

    def add(self, sessions: Iterable[UUID], *, at: datetime) -> None:
        """Refuse the tokens of `sessions`, which ended `at`."""
        now = time.time()
        expiry = at.timestamp() + self._keep
        if expiry > now:
            for session in sessions:
                self._expiry[session] = max(expiry, self._expiry.pop(session, expiry))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop what has expired, the oldest first; they came in about that order."""
        while self._expiry:
            session = next(iter(self._expiry))
            if self._expiry[session] > now:
                return
            del self._expiry[session]

    def __contains__(self, session: object) -> bool:
        """Say whether a session's tokens are refused."""
        return session in self._expiry

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._expiry)
