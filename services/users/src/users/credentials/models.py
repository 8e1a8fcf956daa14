"""Which credentials of an account end on which occasion."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from users.accounts.models import Occasion


class Keys(StrEnum):
    """Which API keys end."""

    NONE = "none"
    UNENTITLED = "unentitled"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What ends. Log-in sessions always do.

    Attributes:
        keep_own_session: whether the session of the request stays.
        keys: which API keys end; UNENTITLED are those with scopes that the account no longer has.
        factors: whether passkeys and TOTP are removed.
    """

    keep_own_session: bool = False
    keys: Keys = Keys.NONE
    factors: bool = False


ENDINGS: Mapping[Occasion, Ending] = {
    # The owner is present. Keys are not derived from the password.
    Occasion.PASSWORD_CHANGED: Ending(keep_own_session=True),
    # Somebody else may have had the password. Second factors protect a verified account from
    # whoever reads its mail.
    Occasion.PASSWORD_RESET: Ending(keys=Keys.ALL),
    # Somebody else may have registered the address, so nothing that was set up before stays.
    Occasion.UNVERIFIED_PASSWORD_RESET: Ending(keys=Keys.ALL, factors=True),
    # Other roles, or deactivation: access tokens hold the former rights.
    Occasion.RIGHTS_CHANGED: Ending(keys=Keys.UNENTITLED),
    # The deletion of the account's row removes the factors.
    Occasion.DELETED: Ending(keys=Keys.ALL),
}
