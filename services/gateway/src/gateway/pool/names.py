"""The addresses of a service's name, resolved again after at most 2 s."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from aiohttp.abc import AbstractResolver

# A pod closes its port `drainSeconds` (helm/service) after it leaves its Service. This and the TTL
# of the cluster's DNS together are shorter, so that a cached address still accepts connections.
ADDRESS_SECONDS = 2


class Address(NamedTuple):
    """Where one replica of a service listens."""

    host: str
    port: int


class Names:
    """Resolves the name of one service.

    Args:
        host: the name, or an IP address, which is not resolved.
        port: the port.
        resolver: resolves names.
        clock: returns seconds that only increase.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        resolver: AbstractResolver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self._port = port
        self._resolver = resolver
        self._clock = clock
        self._known: tuple[Address, ...] = ()
        self._fresh_until = 0.0
        self._asking = asyncio.Lock()
        if _is_address(host):
            self._known, self._fresh_until = (Address(host, port),), float("inf")

    async def addresses(self) -> tuple[Address, ...]:
        """Return the addresses of all replicas.

        Raises:
            OSError: the name could not be resolved.
        """
        if self._clock() < self._fresh_until:
            return self._known
        async with self._asking:
            if self._clock() >= self._fresh_until:
                # The default is IPv4 alone: in a cluster of IPv6, no service has such an address.
                found = await self._resolver.resolve(self.host, self._port, socket.AF_UNSPEC)
                self._known = tuple(Address(one["host"], one["port"]) for one in found)
                self._fresh_until = self._clock() + ADDRESS_SECONDS
        if not self._known:
            message = f"The name {self.host} has no address."
            raise OSError(message)
        return self._known

    def forget(self) -> None:
        """Resolve the name again for the next connection: the service may have moved."""
        if self._fresh_until != float("inf"):
            self._fresh_until = 0.0


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
