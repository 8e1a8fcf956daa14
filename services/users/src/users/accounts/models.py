"""The table of accounts, and the rules that hold for each: address, roles."""

from enum import StrEnum
from uuid import UUID

from email_validator import validate_email
from sqlalchemy import CheckConstraint, Index, Text, false, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped, new_id
from users.metadata import Base

MIN_PASSWORD = 10
MAX_PASSWORD = 200


class Role(StrEnum):
    """What an account is for; scopes follow from it."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"


class Account(Base, Timestamped):
    """A person who can log in.

    ``version`` is 1 at registration and rises by one for each public event.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("roles <@ ARRAY['customer', 'support', 'admin']", name="roles_known"),
        CheckConstraint("cardinality(roles) > 0", name="roles_some"),
        # The order of the list of accounts.
        Index("ix_users_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(Text)
    email_key: Mapped[str] = mapped_column(Text, unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    is_active: Mapped[bool] = mapped_column(server_default=true())
    email_verified: Mapped[bool] = mapped_column(server_default=false())
    version: Mapped[int]


def normalised_email(email: str) -> str:
    """Check an address and bring it to one spelling (domain in lower case, Unicode in NFC).

    Raises:
        ValueError: says what is wrong with the address.
    """
    return validate_email(email.strip(), check_deliverability=False).normalized


def email_key(email: str) -> str:
    """Give what two spellings of one address share: case makes no difference, in either part.

    RFC 5321 lets a server tell local parts apart by case; none that people use does, and two
    accounts that differ in case alone would be a trap.
    """
    return email.casefold()
