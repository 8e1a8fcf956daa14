"""The limits on failed log-ins, and the buckets of an attempt."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from users.accounts.models import email_key
from users.throttling.models import Rate, bucket_key


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInLimits:
    """How many log-ins to one account may fail (NIST SP 800-63B-4 §3.2.2 allows 100).

    Attributes:
        window: the period of the limits. A full bucket accepts one more log-in after
            ``window / limit``.
        per_address: the limit for one client address.
        per_account: the limit for all unknown client addresses together.
        known_for: how long a client address stays known after a successful log-in.
        codes: how many codes of an authenticator app may be wrong in `codes_window`, from all
            client addresses. At that rate, guesses succeed in 1 % of the years.
        codes_window: the period of `codes`.
    """

    window: timedelta
    per_address: int
    per_account: int
    known_for: timedelta = timedelta(days=30)
    codes: int = 10
    codes_window: timedelta = timedelta(days=1)

    @property
    def of_address(self) -> Rate:
        """The rate of one client address."""
        return Rate(limit=self.per_address, window=self.window)

    @property
    def of_account(self) -> Rate:
        """The rate of all unknown client addresses together."""
        return Rate(limit=self.per_account, window=self.window)

    @property
    def of_codes(self) -> Rate:
        """The rate of wrong codes of one account."""
        return Rate(limit=self.codes, window=self.codes_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInAttempt:
    """A log-in that was counted as failed until it succeeds.

    Attributes:
        account: the key of the account's bucket.
        address: the key of the bucket of the account and the client's address.
        known: whether the address is known. If so, the account's bucket was not filled.
    """

    account: bytes
    address: bytes
    known: bool = False

    @classmethod
    def of(cls, *, email: str, address: str) -> "LogInAttempt":
        """Return the attempt. All spellings of an e-mail address have the same bucket keys."""
        account = email_key(email)
        return cls(
            account=bucket_key("account", account),
            address=bucket_key("address", account, address),
        )


def code_bucket_key(account_id: UUID) -> bytes:
    """Return the key of the bucket of wrong codes of an account."""
    return bucket_key("totp", str(account_id))
