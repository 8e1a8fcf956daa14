"""Which notifications a user gets, and on which channels."""

from pydantic import ConfigDict

from client.calls import Calls
from client.shapes import Body
from client.tokens import Token


class ChannelSwitches(Body):
    """Which channels of a category are on."""

    in_app: bool = True
    email: bool = True
    webhook: bool = True


class NewPreferences(Body):
    """The preferences that replace the present ones, as a whole.

    `security` is always on. With `version`, they are replaced only if this is still their version.
    """

    orders: ChannelSwitches = ChannelSwitches()
    security: ChannelSwitches = ChannelSwitches()
    announcements: ChannelSwitches = ChannelSwitches()
    locale: str | None = None
    version: int | None = None


class PreferredChannels(ChannelSwitches):
    """The switches of a category in a response. What a newer server has added is ignored."""

    model_config = ConfigDict(extra="ignore")


class Preferences(NewPreferences):
    """A user's preferences; `version` is 0 for the defaults."""

    model_config = ConfigDict(extra="ignore")

    orders: PreferredChannels = PreferredChannels()
    security: PreferredChannels = PreferredChannels()
    announcements: PreferredChannels = PreferredChannels()
    version: int


class PreferenceCalls(Calls):
    """The calls that concern preferences."""

    async def get_preferences(self, token: Token) -> Preferences:
        """Return the user's preferences."""
        return await self.call(Preferences, "GET", "/notifications/preferences", token=token)

    async def replace_preferences(self, token: Token, preferences: NewPreferences) -> Preferences:
        """Replace the user's preferences, and return them."""
        body = preferences.model_dump(mode="json", exclude_none=True)
        path = "/notifications/preferences"
        return await self.call(Preferences, "PUT", path, token=token, json=body)
