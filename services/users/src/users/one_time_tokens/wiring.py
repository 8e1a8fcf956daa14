"""Construct the use cases of one-time tokens for one transaction."""

from chassis.database.unit import Unit
from users.accounts.repository import AccountRepository
from users.one_time_tokens.repository import OneTimeTokenRepository
from users.one_time_tokens.service import OneTimeTokens


def one_time_tokens(unit: Unit) -> OneTimeTokens:
    """Return the use cases of one-time tokens."""
    return OneTimeTokens(tokens=OneTimeTokenRepository(unit), accounts=AccountRepository(unit))
