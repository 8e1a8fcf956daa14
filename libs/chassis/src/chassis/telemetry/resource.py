"""What a process says of itself beside its spans and metrics."""

import socket
from importlib.metadata import version
from typing import override

from opentelemetry.sdk.resources import Resource


def resource_of(process: str, *, port: int) -> Resource:
    """Return the OpenTelemetry resource of this process.

    ``OTEL_RESOURCE_ATTRIBUTES`` adds to it, e.g. the namespace.

    Args:
        process: its name.
        port: its internal port. With the host's name it tells replicas apart, and stays the same
            when the process restarts.
    """
    return _HashedOnce(
        Resource.create(
            {
                "service.name": process,
                "service.version": version("chassis"),  # all packages of a release have the same
                "service.instance.id": f"{socket.gethostname()}:{port}",
            }
        )
    )


class _HashedOnce(Resource):
    """The exporter hashes the resource of each span, and the SDK makes JSON of it for that."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    @override
    def __hash__(self) -> int:
        return self._hash
