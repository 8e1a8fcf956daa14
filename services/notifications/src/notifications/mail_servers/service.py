"""Send a mail by SMTP (RFC 5321), and tell a refusal for good from a failure that may pass."""

import contextlib
from email.message import EmailMessage

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from notifications.mail_servers.errors import MailDeferredError, MailRejectedError
from notifications.mail_servers.models import Encryption, SmtpServer

_PERMANENT = range(500, 600)  # RFC 5321 §4.2.1: the client should not repeat the command
_QUIT_SECONDS = 2.0


class MailServer:
    """The mail server, with a new connection for each mail.

    Args:
        server: how to reach it; None if no server is set.
    """

    def __init__(self, *, server: SmtpServer | None) -> None:
        self._server = server

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Return once the server has accepted the mail.

        Only the recipient and the content can be refused for good. A refused log-in, sender or
        encryption is an error of our settings: mails wait until somebody has corrected it.

        Raises:
            MailRejectedError: the server refused the recipient or the content with a 5xx.
            MailDeferredError: it responded otherwise, in no time, or not at all.
        """
        if self._server is None:
            reason = "SMTP_SERVER is not set. Set it, and restart the worker."
            raise MailDeferredError(reason)
        client = _client(self._server)
        try:
            await _connect(client)
            await _transfer(client, message, sender, recipient)
            # The server has the mail: a failure from here on must not send it again.
            with contextlib.suppress(SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
        finally:
            client.close()


def _client(server: SmtpServer) -> SMTP:
    return SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.encryption is Encryption.TLS,
        start_tls=server.encryption is Encryption.STARTTLS,
        tls_context=server.tls_context,
        username=server.username,
        password=None if server.username is None else server.password(),
        timeout=server.timeout,
    )


async def _connect(client: SMTP) -> None:
    try:
        await client.connect()
    except (SMTPException, OSError) as error:
        raise MailDeferredError(_described("connection or log-in", error)) from None


async def _transfer(client: SMTP, message: EmailMessage, sender: str, recipient: str) -> None:
    try:
        await client.send_message(message, sender=sender, recipients=[recipient])
    except SMTPRecipientsRefused as refused:
        raise _refusal(refused.recipients[0], of="recipient") from None
    except SMTPDataError as refused:
        raise _refusal(refused, of="content") from None
    except (SMTPException, OSError) as error:
        raise MailDeferredError(_described("transfer", error)) from None
    except ValueError:  # aiosmtplib checks the address again
        reason = "The address can't be written in SMTP."
        raise MailRejectedError(reason) from None


def _refusal(refused: SMTPResponseException, *, of: str) -> Exception:
    kind = MailRejectedError if refused.code in _PERMANENT else MailDeferredError
    return kind(f"The mail server refused the {of} with {refused.code}.")


def _described(step: str, error: Exception) -> str:
    """Return what failed, without the server's words."""
    code = f" {error.code}" if isinstance(error, SMTPResponseException) else ""
    return f"The {step} failed: {type(error).__name__}{code}."
