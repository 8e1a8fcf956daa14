"""Send a mail by SMTP (RFC 5321), and tell a refusal for good from a failure that may pass."""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import EmailPolicy

from aiosmtplib import SMTP, SMTPException, SMTPNotSupported, SMTPResponseException

from notifications.mail_servers.errors import (
    MailDeferredError,
    MailRejectedError,
    NoMailServerError,
)
from notifications.mail_servers.models import (
    CONNECTIONS,
    Encryption,
    PoolPace,
    Refusal,
    SmtpServer,
    Step,
    Verdict,
)

_QUIT_SECONDS = 2.0
_SERVICE_ENDS = 421
_RESPONSES = range(400, 600)
# RFC 3463 §2: the enhanced code is the first word of the text, if the server sends it.
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outgoing:
    """A message with its envelope."""

    message: EmailMessage
    sender: str
    recipient: str


class _NotAcceptedError(Exception):
    """The server did not accept a mail.

    Args:
        step: what it was doing.
        kind: the name of the library's error.
        refusal: its response; None if there was none.
    """

    def __init__(self, step: Step, kind: str, refusal: Refusal | None = None) -> None:
        super().__init__(step)
        self.step = step
        self.refusal = refusal
        self._kind = kind

    @property
    def keeps_connection(self) -> bool:
        """Whether the connection can be used for the next mail."""
        return (
            self.refusal is not None
            and self.refusal.code in _RESPONSES
            and self.refusal.code != _SERVICE_ENDS
        )

    def meaning(self) -> MailDeferredError | MailRejectedError:
        """Return what this means for the mail, without the server's words."""
        if self.refusal is None:
            return MailDeferredError(f"The {self.step} failed: {self._kind}.")
        text = f"The mail server refused the {self.step} with {self.refusal}."
        verdict = self.refusal.verdict
        if verdict is Verdict.DEFERRED:
            return MailDeferredError(text)
        return MailRejectedError(text, address_refused=verdict is Verdict.ADDRESS_REFUSED)


@dataclass(slots=True, kw_only=True)
class _Connection:
    """One connection, and how many mails were begun on it."""

    client: SMTP
    mails: int = 0


class MailServer:
    """The mail server, with a pool of connections that are opened when they are needed.

    A connection is used by one mail at a time. RSET before the next mail shows whether it is
    alive. One that was idle for too long is closed, and so is one that sent many mails, so that a
    relay behind a load balancer can be taken out of service.

    Args:
        server: how to reach it; None if no server is set.
        connections: the most connections.
        pace: when a connection is given up.
    """

    def __init__(
        self,
        *,
        server: SmtpServer | None,
        connections: int = CONNECTIONS,
        pace: PoolPace | None = None,
    ) -> None:
        self._server = server
        self._turns = asyncio.Semaphore(connections)
        self._pace = pace or PoolPace()
        # The newest last. The task closes its connection unless it is taken before.
        self._idle: dict[SMTP, tuple[_Connection, asyncio.Task[None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    async def send(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """Return once the server has accepted the mail.

        Only the recipient and the content can be refused for good. A refused log-in, sender or
        encryption is an error of our settings: mails wait until somebody has corrected it.

        Raises:
            MailRejectedError: the server refused the recipient or the content with a 5xx.
            MailDeferredError: it responded otherwise, in no time, or not at all.
            NoMailServerError: no server is set.
        """
        outgoing = _Outgoing(message=message, sender=sender, recipient=recipient)
        async with self._turns:
            try:
                await self._send(outgoing)
            except _NotAcceptedError as error:
                raise error.meaning() from None

    async def close(self) -> None:
        """Close the idle connections. Those in use are closed after their mail."""
        self._closed = True
        idle = [self._pop_idle() for _ in range(len(self._idle))]
        await asyncio.gather(*(_quit(connection.client) for connection in idle))
        await asyncio.gather(*self._closing, return_exceptions=True)  # some say QUIT already

    async def _send(self, outgoing: _Outgoing) -> None:
        connection = await self._take_idle()
        if connection is not None:
            try:
                await self._transfer(connection, outgoing)
            except _NotAcceptedError as error:
                if error.step is not Step.SENDER or error.keeps_connection:
                    raise
                # A server that ends a connection after some mails may do so in place of its
                # response to MAIL. It has nothing of this mail yet.
            else:
                return
        await self._transfer(await self._open(), outgoing)

    async def _take_idle(self) -> _Connection | None:
        """Return an idle connection that responds; None if there is none."""
        if not self._idle:
            return None
        connection = self._pop_idle()
        try:
            await connection.client.rset(timeout=self._pace.check_seconds)
        except (SMTPException, OSError):
            connection.client.close()
        except BaseException:
            connection.client.close()
            raise
        else:
            return connection
        # One dead idle connection usually means that all are dead.
        while self._idle:
            self._pop_idle().client.close()
        return None

    def _pop_idle(self) -> _Connection:
        _, (connection, closing) = self._idle.popitem()
        closing.cancel()
        return connection

    async def _open(self) -> _Connection:
        client = self._client()
        step = Step.CONNECTION
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:  # it tells what the server supports
                await client.ehlo()
        except (SMTPException, OSError) as error:
            client.close()
            raise _not_accepted(step, error) from None
        except BaseException:
            client.close()
            raise
        return _Connection(client=client)

    def _client(self) -> SMTP:
        server = self._server
        if server is None:
            reason = "SMTP_SERVER is not set. Set it, and restart the worker."
            raise NoMailServerError(reason)
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

    async def _transfer(self, connection: _Connection, outgoing: _Outgoing) -> None:
        """Send one mail, and keep the connection if the server does."""
        connection.mails += 1
        try:
            await _transfer(connection.client, outgoing)
        except _NotAcceptedError as error:
            if error.keeps_connection:
                await self._give_back(connection)
            else:
                connection.client.close()
            raise
        except BaseException:
            connection.client.close()
            raise
        await self._give_back(connection)

    async def _give_back(self, connection: _Connection) -> None:
        if self._closed or connection.mails >= self._pace.mails:
            # The server has the mail: a failure from here on must not send it again.
            await _quit(connection.client)
            return
        name = "close idle mail connection"
        closing = asyncio.create_task(self._close_later(connection.client), name=name)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._idle[connection.client] = (connection, closing)

    async def _close_later(self, client: SMTP) -> None:
        await asyncio.sleep(self._pace.idle_seconds)
        if self._idle.pop(client, None) is not None:
            await _quit(client)


async def _transfer(client: SMTP, outgoing: _Outgoing) -> None:
    """Send one mail over an open connection.

    The commands are sent one by one: `send_message` sends RSET after a refusal, and if the server
    stalls then, its timeout replaces the refusal.
    """
    step = Step.SENDER
    utf8 = not (outgoing.sender + outgoing.recipient).isascii()
    encoding = "utf-8" if utf8 else "ascii"
    try:
        if utf8 and not client.supports_extension("smtputf8"):
            raise _NotAcceptedError(Step.RECIPIENT, SMTPNotSupported.__name__)
        content, options = _content(client, outgoing.message, utf8=utf8)
        await client.mail(outgoing.sender, options=options, encoding=encoding)
        step = Step.RECIPIENT
        await client.rcpt(outgoing.recipient, encoding=encoding)
        step = Step.CONTENT
        await client.data(content)
    except (SMTPException, OSError) as error:
        raise _not_accepted(step, error) from None
    except ValueError:  # aiosmtplib checks the address again
        reason = "The address can't be written in SMTP."
        raise MailRejectedError(reason) from None


def _content(client: SMTP, message: EmailMessage, *, utf8: bool) -> tuple[bytes, list[str]]:
    """Return the message as the server can take it, and the options of MAIL that say so."""
    eight_bit = client.supports_extension("8bitmime")
    policy = EmailPolicy(
        cte_type="8bit" if eight_bit else "7bit",
        linesep=message.policy.linesep,
        max_line_length=message.policy.max_line_length,
        utf8=utf8,
    )
    content = message.as_bytes(policy=policy)
    options = [
        *([f"SIZE={len(content)}"] if client.supports_extension("size") else []),
        *(["BODY=8BITMIME"] if eight_bit else []),
        *(["SMTPUTF8"] if utf8 else []),
    ]
    return content, options


def _not_accepted(step: Step, error: Exception) -> _NotAcceptedError:
    refusal = None
    if isinstance(error, SMTPResponseException):
        found = _ENHANCED.match(error.message)
        refusal = Refusal(step=step, code=error.code, enhanced=found[0] if found else None)
    return _NotAcceptedError(step, type(error).__name__, refusal)


async def _quit(client: SMTP) -> None:
    """Close a connection as RFC 5321 §4.1.1.10 wants it, whatever the server does."""
    try:
        with contextlib.suppress(SMTPException, OSError):
            await client.quit(timeout=_QUIT_SECONDS)
    finally:
        client.close()
