"""Who is at the other end: the client's address, through the proxies that are trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

_IPV6_SITE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from.

    Attributes:
        client: the address of the client itself.
        trusted: whether the peer is a trusted proxy, so that its headers are believed.
        chain: ``X-Forwarded-For`` as the service gets it.
    """

    client: str
    trusted: bool
    chain: str


class Addresses:
    """Reads addresses.

    Args:
        trusted: the networks of the proxies in front of the gateway.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)

    def origin(self, scope: Scope, forwarded_for: str | None) -> Origin:
        """Find where a request came from.

        Args:
            scope: of the connection.
            forwarded_for: its ``X-Forwarded-For``, which is not believed unless the peer is.
        """
        peer = (scope["client"] or ("unknown", 0))[0]
        if not self._trusted or not self._is_trusted(peer):
            return Origin(client=peer, trusted=False, chain=peer)
        if forwarded_for is None:
            return Origin(client=peer, trusted=True, chain=peer)
        return Origin(
            client=self._first_untrusted(forwarded_for, peer),
            trusted=True,
            chain=f"{forwarded_for}, {peer}",
        )

    def _first_untrusted(self, forwarded_for: str, peer: str) -> str:
        """Walk from the nearest hop outwards: anybody can write what stands further left."""
        nearest = peer
        for part in reversed(forwarded_for.split(",")):
            address = part.strip()
            try:
                ip_address(address)
            except ValueError:
                return nearest
            if not self._is_trusted(address):
                return address
            nearest = address
        return nearest

    def _is_trusted(self, address: str) -> bool:
        try:
            known = ip_address(address)
        except ValueError:
            return False
        if isinstance(known, IPv6Address) and known.ipv4_mapped is not None:
            known = known.ipv4_mapped
        return any(known in network for network in self._trusted)


def limit_key(address: str) -> str:
    """Name what an address counts as: one IPv6 subscriber has a whole /64 to choose from."""
    if ":" not in address:
        return address
    try:
        known = IPv6Address(address)
    except ValueError:
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(IPv6Network((int(known) >> _IPV6_SITE << _IPV6_SITE, _IPV6_SITE)))
