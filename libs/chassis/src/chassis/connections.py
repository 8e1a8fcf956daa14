"""Limits on connections: how many there are, and how long one may hold unsent data."""

import asyncio
import contextlib
import resource
import socket
from collections import OrderedDict
from typing import Protocol


class Idle(Protocol):
    """A connection that waits for a request's head."""

    def give_way(self) -> None:
        """Close the connection: another one needs its place."""


class ConnectionBound:
    """Limits the number of connections of one listener.

    Above the limit, the connection that has waited longest for a request's head is closed. So
    clients that hold connections without sending a request can't keep others out. nginx does the
    same when its `worker_connections` are exhausted.

    Args:
        limit: the largest number of connections.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: OrderedDict[Idle, None] = OrderedDict()

    def idles(self, connection: Idle) -> None:
        """Record that `connection` waits for a head from now on."""
        self._idle[connection] = None

    def works(self, connection: Idle) -> None:
        """Record that `connection` has a request, or is closed."""
        self._idle.pop(connection, None)

    def make_room(self, connections: int) -> bool:
        """Return whether the newest connection may stay; if needed, close the longest idle one.

        Args:
            connections: how many are open, with the newest, which is not idle yet.
        """
        if connections <= self.limit:
            return True
        if not self._idle:
            return False
        longest, _ = self._idle.popitem(last=False)
        longest.give_way()
        return True


def bound_unsent_data(transport: asyncio.Transport, *, seconds: float) -> None:
    """Make the kernel end a connection whose client accepts no data for `seconds` (RFC 5482).

    Closing a transport waits until all written data is sent. If the client has stopped reading, it
    never ends. Only Linux has the option; on other systems this does nothing.
    """
    connected = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connected is not None and option is not None and connected.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # the client has disconnected
            connected.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors to the hard limit; return the limit that applies.

    Containers often start with a soft limit of 1,024, even if the hard limit is higher.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS reports unlimited, but rejects it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft
