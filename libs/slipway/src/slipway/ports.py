"""Free ports for a system that must not meet another one, e.g. in a test."""

import socket
from contextlib import ExitStack

from slipway.settings import HOST, SlipwaySettings

_SUFFIX = "_port"


def with_free_ports(settings: SlipwaySettings) -> SlipwaySettings:
    """The same settings, every port replaced by one that is free now."""
    names = [name for name in SlipwaySettings.model_fields if name.endswith(_SUFFIX)]
    with ExitStack() as sockets:  # all are held until the last is found, so that none comes twice
        ports = [_bind(sockets) for _ in names]
    return settings.model_copy(update=dict(zip(names, ports, strict=True)))


def _bind(sockets: ExitStack) -> int:
    listener = sockets.enter_context(socket.socket())
    listener.bind((HOST, 0))
    port: int = listener.getsockname()[1]
    return port
