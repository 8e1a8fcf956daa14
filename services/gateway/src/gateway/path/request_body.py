"""A request's body on its way to a service: bounded, and never passed on cut short as whole."""

from gateway.errors import Refused

STALL_SECONDS = 10.0
HIGH_WATER_BYTES = 64 * 1024


class RequestBody:
    """What arrived of a body.

    States: arriving → complete. Until a connection to the service is there, parts are held; then
    each is passed on as it arrives.

    Args:
        expected: whether the head announces a body.
        max_bytes: the size limit.

    Attributes:
        complete: whether all of it has arrived.
        length: the declared length; None for chunks.
        received: how many bytes have arrived.
    """

    __slots__ = ("_arrived_at", "_held", "_max_bytes", "complete", "length", "received")

    def __init__(self, expected: bool, max_bytes: int) -> None:
        self.complete = not expected
        self.length: int | None = None
        self._arrived_at = 0.0
        self._max_bytes = max_bytes
        self.received = 0
        self._held: list[bytes] = []

    def begin(self, length: int | None, now: float) -> None:
        """Note the declared length, and when the head was read."""
        self.length = length
        self._arrived_at = now

    @property
    def begun(self) -> bool:
        """Whether a part has arrived."""
        return self.received > 0

    @property
    def held(self) -> int:
        """How many bytes are held."""
        return sum(map(len, self._held))

    def check_length(self) -> None:
        """Raise Refused (413) if the declared length exceeds the limit."""
        if self.length is not None and self.length > self._max_bytes:
            raise self._too_large()

    def take(self, part: bytes, now: float) -> None:
        """Count and hold a part.

        Raises:
            Refused: 413. The body exceeds the limit.
        """
        self._arrived_at = now
        self.received += len(part)
        if self.received > self._max_bytes:
            raise self._too_large()
        self._held.append(part)

    def framing(self) -> bytes:
        """Return the lines of the request's head that declare the body."""
        if self.length is not None:
            return b"content-length: %d\r\n" % self.length
        if not self.received and self.complete:
            return b""
        if self.complete:
            self.length = self.received
            return b"content-length: %d\r\n" % self.length
        return b"transfer-encoding: chunked\r\n"

    def parts(self) -> bytes:
        """Return what is held, framed for the service, and hold it no longer."""
        held, self._held = self._held, []
        if self.length is not None:
            return b"".join(held)
        framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in held if part]
        if self.complete and self.received:
            framed.append(b"0\r\n\r\n")
        return b"".join(framed)

    def whole(self) -> bytes:
        """Return all of it, and hold it no longer; for a body that is read before it is used."""
        held, self._held = self._held, []
        return b"".join(held)

    def stalled(self, now: float) -> bool:
        """Return whether the next part is late."""
        return not self.complete and now - self._arrived_at >= STALL_SECONDS

    def _too_large(self) -> Refused:
        detail = (
            f"The body is too large. This route accepts {self._max_bytes} bytes. Send a smaller "
            "body."
        )
        return Refused(413, detail, headers={"Connection": "close"})


def stalled() -> Refused:
    """Return the error for a body that did not arrive in time (408)."""
    detail = (
        f"The body did not arrive in time. A part of it may take {STALL_SECONDS:g} s. "
        "Send the request again."
    )
    return Refused(408, detail, headers={"Connection": "close"})
