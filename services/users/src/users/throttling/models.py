"""The table of leaky buckets, and the rates that they are filled at."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import DateTime, LargeBinary, false
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped
from users.metadata import Base


class Bucket(Base, Timestamped):
    """A leaky bucket (GCRA, ITU-T I.371) of failed log-ins, registrations or requests for a mail.

    E-mail addresses without an account have rows as well. The row holds only a hash of its subject.

    Attributes:
        key: the hash of what is counted and for whom; see ``bucket_key``.
        empty_at: when the bucket will be empty.
        known: whether a log-in to the account succeeded from the client's address.
        expires_at: when the row can be deleted.
    """

    # The table held only failed log-ins at first. A new name would fail the log-ins of the release
    # before, which still runs during a rollout.
    __tablename__ = "log_in_buckets"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    empty_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    known: Mapped[bool] = mapped_column(server_default=false())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How much a bucket accepts.

    Attributes:
        limit: how many an empty bucket accepts at once.
        window: the time in which a full bucket empties.
    """

    limit: int
    window: timedelta

    @property
    def step(self) -> timedelta:
        """The time in which one leaks out."""
        return self.window / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How many requests of one kind are accepted in `window`.

    Attributes:
        window: the period of the limits.
        per_address: the limit for one client address, for all e-mail addresses together.
        per_email: the limit for one e-mail address, from all client addresses together.
    """

    window: timedelta
    per_address: int
    per_email: int

    @property
    def of_address(self) -> Rate:
        """The rate of one client address."""
        return Rate(limit=self.per_address, window=self.window)

    @property
    def of_email(self) -> Rate:
        """The rate of one e-mail address."""
        return Rate(limit=self.per_email, window=self.window)

    @property
    def of_both(self) -> Rate:
        """The rate of one e-mail address from one client address.

        It is half of the e-mail address's rate. So one stranger can't use all of that.
        """
        return Rate(limit=(self.per_email + 1) // 2, window=self.window)


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
    def of(cls, *, email_key: str, address: str) -> "LogInAttempt":
        """Return the attempt. All spellings of an e-mail address have the same bucket keys."""
        return cls(
            account=bucket_key("account", email_key),
            address=bucket_key("address", email_key, address),
        )


def bucket_key(*parts: str) -> bytes:
    """Return the key of a bucket: the hash of what is counted, and of each part of its subject."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
