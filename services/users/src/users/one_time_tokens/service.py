"""Use cases of one-time tokens: issue one for a mail, and redeem it once."""

from collections.abc import Collection

from chassis.auth.opaque import new_token, token_hash
from users.accounts.models import Account
from users.accounts.repository import AccountRepository
from users.one_time_tokens.errors import InvalidOneTimeToken
from users.one_time_tokens.models import (
    LIFETIMES,
    MailedToken,
    OneTimeToken,
    Purpose,
    Redeemed,
    state_of,
)
from users.one_time_tokens.repository import OneTimeTokenRepository


class OneTimeTokens:
    """The one-time tokens of accounts, within one transaction (ADR 38).

    Args:
        tokens: the transaction's tokens.
        accounts: the transaction's accounts.
    """

    def __init__(self, *, tokens: OneTimeTokenRepository, accounts: AccountRepository) -> None:
        self._tokens = tokens
        self._accounts = accounts

    async def issue(
        self, account: Account, purpose: Purpose, *, new_email: str | None = None
    ) -> MailedToken:
        """Return a new token of an account.

        Earlier tokens stay valid, since a stranger may have asked for this one. So strangers can't
        keep the owner of an account from using a mail.

        Args:
            account: the account as it must still be when the token is redeemed.
            purpose: what the token is accepted for.
            new_email: the address to change to.
        """
        token = new_token()
        expires_at = await self._tokens.add(
            OneTimeToken(
                token_hash=token_hash(token),
                user_id=account.id,
                purpose=purpose.value,
                account_state=state_of(account, purpose),
                new_email=new_email,
            ),
            lifetime=LIFETIMES[purpose],
        )
        return MailedToken(token=token, expires_at=expires_at)

    async def withdraw(self, account: Account, purpose: Purpose) -> None:
        """Make all tokens of a locked account for one purpose invalid."""
        await self._tokens.delete_all(account.id, purpose)

    async def account_of(self, token: str, purpose: Purpose) -> Account:
        """Return the account of a token, which stays unused, or raise InvalidOneTimeToken."""
        _, account = await self._valid(token, [purpose], lock=False)
        return account

    async def redeem(self, token: str, *purposes: Purpose) -> Redeemed:
        """Use a token, and return its locked account.

        The account is locked before the token is deleted, as in all transactions that change both.
        So two of them can't deadlock. Of several that redeem one token, the first deletes it.

        Raises:
            InvalidOneTimeToken: the token is unknown, used or expired, or has another purpose, or
                its account is not active or has changed.
        """
        found, account = await self._valid(token, purposes, lock=True)
        if not await self._tokens.take(found.token_hash):
            raise _invalid()
        return Redeemed(account=account, new_email=found.new_email)

    async def _valid(
        self, token: str, purposes: Collection[Purpose], *, lock: bool
    ) -> tuple[OneTimeToken, Account]:
        found = await self._tokens.find(token_hash(token), purposes)
        account = None if found is None else await self._accounts.find(found.user_id, lock=lock)
        if found is None or account is None or not account.is_active:
            raise _invalid()
        if found.account_state != state_of(account, Purpose(found.purpose)):
            raise _invalid()
        return found, account


def _invalid() -> InvalidOneTimeToken:
    return InvalidOneTimeToken(
        "The token is unknown, was used, has expired or was replaced by a later one, or its "
        "account has changed since. Ask for a new mail."
    )
