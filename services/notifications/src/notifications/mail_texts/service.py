"""Make a message of a mail's content: subject, plain text and HTML, in the reader's language."""

from collections.abc import Mapping
from datetime import UTC
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import quote

import idna

from chassis.product import product
from notifications.catalogues.service import Catalogue
from notifications.mail_texts.errors import UnfitAddressError
from notifications.mail_texts.models import MailContent, MailKind

_TEMPLATES = Path(__file__).with_name("templates")
# The pages of the web front end that read the token. It is in the fragment, which a browser sends
# to no server: it is in no access log and no Referer.
_PAGES: Mapping[MailKind, str] = {
    MailKind.EMAIL_VERIFICATION: "/verify-email",
    MailKind.PASSWORD_RESET: "/reset-password",
}
# RFC 5322 §2.1.1: 998 characters are the limit of a line. Folding at 78 would encode the text
# because of the long link, and a person could not copy it from the source.
_POLICY = SMTP.clone(max_line_length=998)


class MailTexts:
    """The texts of mails. Reads all templates once, so construct it outside the event loop.

    Args:
        sender: the From of each mail: ``Name <name@example.com>``.
        public_url: the address of the web front end, which links begin with.

    Attributes:
        sender_address: the address of the From, to which a mail server reports failures.
    """

    def __init__(self, *, sender: str, public_url: str) -> None:
        name, address = parseaddr(sender)
        self.sender_address = address
        self._sender = address_header(address, name=name)
        self._public_url = public_url.rstrip("/")
        self._catalogue = Catalogue(_TEMPLATES, forms=("subject", "txt", "html"))

    def message(self, content: MailContent) -> EmailMessage:
        """Return the message.

        Raises:
            UnfitAddressError: no mail can be addressed to the recipient.
        """
        language = self._catalogue.closest(content.locale)
        values = self._values(content, language)
        made = EmailMessage(policy=_POLICY)
        made["From"] = self._sender
        made["To"] = address_header(content.recipient)
        made["Subject"] = self._render(content, language, "subject", values).strip()
        made["Date"] = content.created_at
        made["Message-ID"] = f"<{content.id}@{self._sender.domain}>"
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic reply to it
        made.set_content(self._render(content, language, "txt", values))
        made.add_alternative(self._render(content, language, "html", values), subtype="html")
        made["Content-Language"] = language  # add_alternative has moved such headers to the text
        return made

    def _values(self, content: MailContent, language: str) -> Mapping[str, str]:
        values = {
            "language": language,
            "product": product().name.capitalize(),
            "public_url": self._public_url,
            "expires": f"{content.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        }
        page = _PAGES.get(content.kind)
        if page is not None and content.token is not None:
            values["link"] = f"{self._public_url}{page}#token={quote(content.token, safe='')}"
        return values

    def _render(
        self, content: MailContent, language: str, form: str, values: Mapping[str, str]
    ) -> str:
        return self._catalogue.render(language, content.kind, form, values)


def address_header(address: str, *, name: str = "") -> Address:
    """Return an address as a header has it, with its domain in ASCII.

    So only a local part beyond ASCII needs a server with SMTPUTF8. The domain is converted by IDNA
    2008: Python's own codec is of 2003, and makes ``strasse.de`` of ``straße.de``, which may be
    another person's domain.

    Raises:
        UnfitAddressError: it is not an address.
    """
    local, _, domain = address.rpartition("@")
    try:
        if not domain.isascii():
            domain = idna.encode(domain, uts46=True).decode()
        made = Address(display_name=name, username=local, domain=domain)
        sendable = bool(local and domain) and made.addr_spec.isprintable() and "@" not in local
    except (ValueError, MessageError) as error:
        raise _unfit() from error
    if not sendable or any(one in address for one in ' ",;<>()[]\\'):
        raise _unfit()
    return made


def _unfit() -> UnfitAddressError:
    return UnfitAddressError("No mail can be addressed to this address.")
