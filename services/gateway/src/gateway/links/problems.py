"""The gateway's own problem documents, in the form that a client accepts."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.wire_names import PROBLEM
from gateway.exchange import FieldLines
from gateway.links.fields import replaced, value_of, without
from gateway.links.media import Media, media_of_problem
from gateway.links.xml import problem_xml_of

_XML = (b"content-type", b"application/problem+xml")
_PROBLEM = PROBLEM.encode()


def as_accepted(request: FieldLines, fields: FieldLines, body: bytes) -> tuple[FieldLines, bytes]:
    """Return the fields and the body of a response of the gateway itself.

    Args:
        request: the fields of the request.
        fields: the response's fields.
        body: its body.
    """
    accept = value_of(request, b"accept")
    if accept is None or value_of(fields, b"content-type") != _PROBLEM:
        return fields, body
    if media_of_problem(accept) is not Media.XML:
        return fields, body
    xml = problem_xml_of(body) if body else b""  # a response to HEAD may have none
    changes = [_XML, (b"content-length", b"%d" % len(xml))] if body else [_XML]
    return replaced(without(fields, b"content-length"), changes), xml


class AcceptedProblems:
    """Gives the problem documents of an ASGI app the form that the client accepts.

    Args:
        app: the app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        accept = value_of(scope["headers"], b"accept") if scope["type"] == "http" else None
        if accept is None or media_of_problem(accept) is not Media.XML:
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def send_accepted(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                if value_of(message["headers"], b"content-type") != _PROBLEM:
                    await send(message)
                    return
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    fields, whole = as_accepted(scope["headers"], start["headers"], body)
                    await send({**start, "headers": fields})
                    await send({**message, "body": whole})

        await self._app(scope, receive, send_accepted)
