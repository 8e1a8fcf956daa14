"""The addresses at which a server listens."""

_ALL = "*"


def bind_host(setting: str) -> str:
    """Return the host that a server binds for a setting; `*`: all addresses, of both families.

    asyncio opens a socket for each family only for an empty host. It takes `*` for a name, which
    only some systems resolve.
    """
    return "" if setting == _ALL else setting
