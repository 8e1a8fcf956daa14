"""Exempts this machine's addresses from the proxies that the environment names.

A proxy runs on another machine, so its loopback address is not ours: a request for 127.0.0.1 that
is sent to it fails. Libraries read the environment, so the exemption is made there.
"""

from collections.abc import Mapping

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_ALL = "*"


def loopback_exempted(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``NO_PROXY`` and ``no_proxy``, with this machine's addresses added.

    Programs differ in which of the two they read first, so each keeps its own hosts. If one is not
    set, it gets the other's.

    Args:
        environment: the environment of the process that must reach this machine directly.
    """
    upper, lower = environment.get("NO_PROXY", ""), environment.get("no_proxy", "")
    return {"NO_PROXY": _with_loopback(upper or lower), "no_proxy": _with_loopback(lower or upper)}


def _with_loopback(hosts: str) -> str:
    known = [host for part in hosts.split(",") if (host := part.strip())]
    if _ALL in known:
        return _ALL  # alone: in a list with other hosts, most programs read it as a name
    return ",".join(dict.fromkeys([*known, *LOOPBACK]))
