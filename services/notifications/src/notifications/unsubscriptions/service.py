"""Use cases of unsubscriptions: say what a token is for, and switch mails off with it."""

from dataclasses import replace

from notifications.kinds.models import Channel
from notifications.preferences.repository import PreferenceRepository
from notifications.unsubscriptions.errors import InvalidUnsubscribeToken
from notifications.unsubscriptions.models import (
    MailSwitch,
    UnsubscribeTokens,
    Unsubscription,
)


class UnsubscriptionService:
    """The unsubscriptions of one transaction.

    Args:
        preferences: the repository of preferences.
        tokens: reads the tokens.
    """

    def __init__(self, *, preferences: PreferenceRepository, tokens: UnsubscribeTokens) -> None:
        self._preferences = preferences
        self._tokens = tokens

    async def find(self, token: str) -> MailSwitch:
        """Return what a token switches off, and whether it is on now.

        Raises:
            InvalidUnsubscribeToken: no key signed the token.
        """
        found = self._read(token)
        stored = await self._preferences.find(found.user_id)
        is_on = stored.preferences.has(found.category, Channel.EMAIL)
        return MailSwitch(category=found.category, email=is_on)

    async def unsubscribe(self, token: str) -> Unsubscription:
        """Switch off what a token is for. Again, and for a deleted account, it changes nothing.

        Raises:
            InvalidUnsubscribeToken: no key signed the token.
        """
        found = self._read(token)
        stored = await self._preferences.lock(found.user_id)
        chosen = stored.preferences
        if chosen.has(found.category, Channel.EMAIL) and not stored.is_closed:
            muted = chosen.muted | {(found.category, Channel.EMAIL)}
            await self._preferences.store(found.user_id, replace(chosen, muted=muted))
        return found

    def _read(self, token: str) -> Unsubscription:
        found = self._tokens.read(token)
        if found is None:
            message = (
                "The token is not valid. Open the whole link of the mail, or change your "
                "preferences of notifications after a log-in."
            )
            raise InvalidUnsubscribeToken(message)
        return found
