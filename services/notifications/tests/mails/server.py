"""A real SMTP server whose responses a test chooses."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

type Respond = Callable[[Envelope], Awaitable[str]]
"""Returns the response to RCPT or to the end of DATA."""


async def accept(_: Envelope) -> str:
    return "250 accepted"


def refuse(response: str) -> Respond:
    async def respond(_: Envelope) -> str:
        return response

    return respond


@dataclass(kw_only=True)
class Server:
    """The server's side: what it received, and how it responds from now on.

    Attributes:
        port: its port.
        received: the messages whose DATA was complete, whatever the response was.
        raw: the same as they were sent.
        recipients: the address of each RCPT.
        log_ins: the users that logged in.
        quits: how many connections the client ended with QUIT.
        on_mail: the response to MAIL.
        on_rcpt: the response to RCPT.
        on_data: the response after the end of DATA.
        on_rset: the response to RSET.
        stalled: set once a client waits for a response that does not come.
    """

    port: int
    received: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    log_ins: list[str] = field(default_factory=list)
    quits: int = 0
    on_mail: Respond = accept
    on_rcpt: Respond = accept
    on_data: Respond = accept
    on_rset: Respond = accept
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    sessions: list[SMTP] = field(default_factory=list)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name for it
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        response = await self.on_mail(envelope)
        if response.startswith("2"):
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return response

    async def handle_RSET(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - likewise
        return await self.on_rset(envelope)

    async def handle_QUIT(self, _: SMTP, __: Session, ___: Envelope) -> str:  # noqa: N802 - likewise
        self.quits += 1
        return "221 bye"

    async def handle_RCPT(  # noqa: N802 - likewise
        self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> str:
        self.recipients.append(address)
        response = await self.on_rcpt(envelope)
        if response.startswith("2"):
            envelope.rcpt_tos.append(address)
        return response

    async def handle_DATA(  # noqa: N802 - likewise
        self, _: SMTP, __: Session, envelope: Envelope
    ) -> str:
        content = envelope.original_content or b""
        self.raw.append(content)
        parsed = message_from_bytes(content, policy=policy.default)
        self.received.append(parsed)
        return await self.on_data(envelope)

    async def stall(self, _: Envelope) -> str:
        self.stalled.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def drop(self, _: Envelope) -> str:
        """Close the connection in place of a response."""
        self.disconnect()
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def connections(self) -> int:
        """How many connections the server accepted."""
        return len(self.sessions)

    def disconnect(self) -> None:
        """Close all connections at once, and cancel what waits for them.

        asyncio does not tell aiosmtpd of a connection that is lost during its TLS handshake, so
        aiosmtpd would wait for that client for ever.
        """
        for session in self.sessions:
            if isinstance(session.transport, asyncio.WriteTransport):
                session.transport.abort()
                session.eof_received()

    def log_in(self, _: SMTP, __: Session, ___: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert mechanism in {"LOGIN", "PLAIN"}
        self.log_ins.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)


@asynccontextmanager
async def smtp_server(
    tls: ssl.SSLContext | None = None, *, implicit: bool = False, **options: Any
) -> AsyncIterator[Server]:
    """Serve SMTP on a free port of 127.0.0.1.

    Args:
        tls: the server's certificate, for STARTTLS.
        implicit: use it from the first byte instead.
        options: of aiosmtpd.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(port=listening.getsockname()[1])
    starttls = None if implicit else tls

    def session() -> SMTP:
        made = SMTP(
            server,
            tls_context=starttls,
            authenticator=server.log_in,
            enable_SMTPUTF8=options.pop("enable_SMTPUTF8", True),
            **options,
        )
        server.sessions.append(made)
        return made

    loop = asyncio.get_running_loop()
    serving = await loop.create_server(session, sock=listening, ssl=tls if implicit else None)
    try:
        yield server
    finally:
        serving.close()
        server.disconnect()
