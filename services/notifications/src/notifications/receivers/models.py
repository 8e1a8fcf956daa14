"""Which URLs and addresses may be called: nobody must reach our own network through us (SSRF)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from notifications.receivers.errors import AddressRefusedError, UnfitUrlError

MAX_URL = 2000

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_HTTPS_PORT, _HTTP_PORT = 443, 80
_FIRST_UNPRIVILEGED_PORT = 1024
# As in the URL standard: resolvers read 127.1, 0x7f000001 and 2130706433 as addresses.
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(\d+|0x[\da-f]*)\.?$", re.IGNORECASE)
# The IANA registries of special-purpose addresses, multicast (RFC 5771) and reserved ones (RFC
# 1112). Python's `is_global` lacks some of them, and its answers differ between releases.
_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and the metadata of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")  # the only part that is assigned to public hosts
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # among them Teredo, which contains any IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which contains any IPv4 address
        "3fff::/20",
        "5f00::/16",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how a host without IPv4 reaches an IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRules:
    """Which URLs and addresses may be called.

    Attributes:
        insecure: whether `http` is allowed.
        networks: networks whose addresses may be called although they are not public.
    """

    insecure: bool = False
    networks: Sequence[Network] = ()

    def check_url(self, text: str) -> str:
        """Return a URL in the form in which it is called, or raise UnfitUrlError.

        What a name resolves to is checked with each call, since it may change.
        """
        url = _parsed(text)
        if url.scheme != "https" and not (self.insecure and url.scheme == "http"):
            message = "must begin with https://"
            raise UnfitUrlError(message)
        if url.user is not None or url.password is not None:
            message = "must not contain a user name or a password"
            raise UnfitUrlError(message)
        if "#" in text:
            message = "must not contain a fragment (#)"
            raise UnfitUrlError(message)
        self._check_port(url)
        self._check_host(url.host or "")
        return str(url)

    def check_address(self, text: str) -> None:
        """Raise AddressRefusedError unless the address may be called."""
        try:
            allowed = self.allows(ip_address(text))
        except ValueError:
            allowed = False
        if not allowed:
            message = "the address is not public"
            raise AddressRefusedError(message)

    def allows(self, address: Address) -> bool:
        """Return whether an address may be called: it is public, or in one of `networks`.

        An IPv6 address that stands for an IPv4 address is judged as that one.
        """
        if isinstance(address, IPv6Address) and (inner := _inner(address)) is not None:
            address = inner
        if any(address in network for network in self.networks):
            return True
        if isinstance(address, IPv4Address):
            return not any(address in network for network in _REFUSED_V4)
        return (
            address.scope_id is None
            and address in _GLOBAL_V6
            and not any(address in network for network in _REFUSED_V6)
        )

    def _check_host(self, host: str) -> None:
        try:
            address = ip_address(host)
        except ValueError:
            if _ENDS_IN_A_NUMBER.search(host):
                message = "must not abbreviate an address: write all four numbers of it"
                raise UnfitUrlError(message) from None
            return
        if not self.allows(address):
            message = "must not name an address of a private or reserved network"
            raise UnfitUrlError(message)

    def _check_port(self, url: URL) -> None:
        port = url.port or 0
        usual = {_HTTPS_PORT, _HTTP_PORT} if self.insecure else {_HTTPS_PORT}
        if port not in usual and port < _FIRST_UNPRIVILEGED_PORT:
            message = f"must use port {_HTTPS_PORT}, or one from {_FIRST_UNPRIVILEGED_PORT}"
            raise UnfitUrlError(message)


def network_of(text: str) -> Network:
    """Return the network that a text describes (CIDR), or raise ValueError."""
    return ip_network(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The response of a receiver.

    Attributes:
        status: the status code.
        excerpt: the first part of its body as text, bounded; it may be cut within a character.
        retry_after: the time that its Retry-After asks to wait; None: it has none that is valid.
    """

    status: int
    excerpt: str
    retry_after: timedelta | None

    @property
    def accepted(self) -> bool:
        """Whether the receiver accepted the request. A redirection is never followed."""
        return self.status // 100 == 2  # noqa: PLR2004 - 2xx


def _parsed(text: str) -> URL:
    if len(text) > MAX_URL:
        message = f"must not be longer than {MAX_URL} characters"
        raise UnfitUrlError(message)
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        message = "must be ASCII without spaces and backslashes: write a name in Punycode (xn--…)"
        raise UnfitUrlError(message)
    try:
        url = URL(text)
        port = url.port
    except ValueError as error:
        message = "must be a URL: https://example.com/hooks"
        raise UnfitUrlError(message) from error
    host = url.host or ""
    if not url.absolute or not host or port == 0 or "%" in host or len(url.raw_host or "") > 253:  # noqa: PLR2004 - RFC 1035
        message = "must be a URL with a host: https://example.com/hooks"
        raise UnfitUrlError(message)
    return url


def _inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a packet to `address` reaches, if there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None
