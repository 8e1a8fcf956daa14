"""Hooks into aiohttp's client requests: just before a request is written, and its head's bytes.

aiohttp documents `request_class` and the attributes of a request, but no method to override. It
makes the head from `str` and drops lone surrogates (seen in 3.14). So there is no documented way to
write bytes that are not UTF-8.
"""

from collections.abc import Mapping
from typing import cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from aiohttp.typedefs import LooseHeaders


class HeadRequest(aiohttp.ClientRequest):
    """A request whose head a subclass may change, before and after it is serialised.

    Attributes:
        replacements: bytes to replace in the serialised head, with their replacements. The bytes to
            replace must be secret, otherwise a client could smuggle fields into the head.
    """

    replacements: Mapping[bytes, bytes] = {}

    def fields_taken(self, fields: LooseHeaders | None) -> LooseHeaders | None:
        """Return the fields to send instead of `fields`; for a subclass to override."""
        return fields

    def before_send(self, *, now: float) -> None:
        """Change the request just before its head is serialised; for a subclass to override.

        Args:
            now: the time by the loop's clock, in seconds.
        """

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Set the fields of the request."""
        super().update_headers(self.fields_taken(headers))

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send the request and return its response."""
        self.before_send(now=self.loop.time())
        if self.replacements:
            # aiohttp calls `write_bytes` before it writes anything only if the request has a body
            # or waits for `100 Continue`. This future is already done, so it forces that path.
            self._continue = self.loop.create_future()
            self._continue.set_result(True)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the head and the body."""
        if self.replacements:
            buffered = cast("StreamWriter", writer)
            head = buffered._headers_buf or b""  # the serialised head, not yet written
            for old, new in self.replacements.items():
                head = head.replace(old, new)
            buffered._headers_buf = head
        await super().write_bytes(writer, conn, content_length)
