"""Find the client's address behind the trusted proxies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from chassis.http.origin import limit_key
from gateway.opaque import bytes_of, text_of

__all__ = ["Addresses", "Origin", "limit_key"]

_REMEMBERED_PEERS = 1024  # a deployment has few proxies; the bound limits memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from.

    Attributes:
        client: the address of the client itself.
        trusted: whether the peer is a trusted proxy. The gateway believes only its headers.
        chain: the value of ``X-Forwarded-For`` that the service receives.
        limit_key: the key by which the address is counted.
        client_bytes: `client`, encoded.
        chain_bytes: `chain`, encoded.
    """

    client: str
    trusted: bool
    chain: str
    limit_key: str = field(init=False)
    client_bytes: bytes = field(init=False)
    chain_bytes: bytes = field(init=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the class is frozen
        set_field(self, "limit_key", f"address:{limit_key(self.client)}")
        set_field(self, "client_bytes", bytes_of(self.client))
        set_field(self, "chain_bytes", bytes_of(self.chain))


class Addresses:
    """Finds the address of each request's client.

    Args:
        trusted: the networks of the proxies in front of the gateway.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)
        self._peers: dict[str, bool] = {}

    def trusts(self, scope: Scope) -> bool:
        """Return whether the peer is a trusted proxy. The gateway believes only its headers."""
        if not self._trusted:
            return False
        peer = _peer_of(scope)
        trusted = self._peers.get(peer)
        if trusted is None:
            if len(self._peers) >= _REMEMBERED_PEERS:
                self._peers.clear()
            self._peers[peer] = trusted = self._is_trusted(peer)
        return trusted

    def origin(self, scope: Scope) -> Origin:
        """Return where a request came from.

        All lines of ``X-Forwarded-For`` are joined in their order. A proxy may add a line of its
        own below the client's (RFC 9110 §5.3).
        """
        peer = _peer_of(scope)
        if not self.trusts(scope):
            return Origin(client=peer, trusted=False, chain=peer)
        lines = [text_of(value) for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not lines:
            return Origin(client=peer, trusted=True, chain=peer)
        forwarded_for = ", ".join(lines)
        return Origin(
            client=self._first_untrusted(forwarded_for, peer),
            trusted=True,
            chain=f"{forwarded_for}, {peer}",
        )

    def _first_untrusted(self, forwarded_for: str, peer: str) -> str:
        """Return the first address, from the right, that is not a trusted proxy.

        A client can forge every entry to the left of it.
        """
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


def _peer_of(scope: Scope) -> str:
    peer: str = (scope["client"] or ("unknown", 0))[0]
    return peer
