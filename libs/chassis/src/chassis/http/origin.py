"""The network address of a client, by which a service may count requests."""

from ipaddress import IPv6Address, IPv6Network

from fastapi.requests import HTTPConnection

from chassis.wire_names import REAL_IP

"""The client's address as the gateway determined it.

The gateway removes the field from clients' requests."""

_IPV6_SITE = 64


def client_address(connection: HTTPConnection) -> str:
    """Return the address of the client, or that of the peer if there is no gateway."""
    peer = "unknown" if connection.client is None else connection.client.host
    return connection.headers.get(REAL_IP, peer)


def limit_key(address: str) -> str:
    """Return the key by which an address is counted.

    For IPv6 it is the /64 network, because one subscriber can use every address in it.
    """
    if ":" not in address:
        return address
    try:
        known = IPv6Address(address)
    except ValueError:
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(IPv6Network((int(known) >> _IPV6_SITE << _IPV6_SITE, _IPV6_SITE)))
