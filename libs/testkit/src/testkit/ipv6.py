"""Whether this machine has the loopback address of IPv6, which a container often lacks."""

import socket

import pytest


def _has_loopback() -> bool:
    if not socket.has_ipv6:
        return False
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_loopback(), reason="this machine has no address ::1")
