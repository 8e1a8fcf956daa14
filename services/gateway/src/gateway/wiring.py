"""The composition root: what the gateway holds while it runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from chassis.auth import TokenVerifier
from chassis.auth.keys import PublicKeys
from chassis.http.context import RequestContext
from chassis.http.failures import Failures
from chassis.process import Process
from chassis.sessions import follow_sessions
from gateway.addresses import Addresses
from gateway.admission import Admission
from gateway.documents import Documents
from gateway.limits import open_limits
from gateway.proxy import Proxy
from gateway.routes import RouteTable
from gateway.sessions import SessionsEnded
from gateway.settings import GatewaySettings
from gateway.tracing import ServerSpan
from gateway.upstreams import open_upstreams
from gateway.websockets import Sockets

NAME = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The data paths. From the outside in: trace; request id and log line; failures; the proxy."""

    http: ASGIApp
    websocket: ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What is open while the gateway runs."""

    paths: Paths
    documents: Documents


@asynccontextmanager
async def open_resources(
    settings: GatewaySettings, process: Process, table: RouteTable
) -> AsyncIterator[Resources]:
    """Open everything. Neither Valkey, Kafka nor a service need be there when it starts."""
    verifier = TokenVerifier(
        keys=await asyncio.to_thread(PublicKeys, settings.auth_jwks_file),
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        revoked=follow_sessions(process, settings, SessionsEnded),
    )
    async with (
        open_upstreams(settings, process.registry) as upstreams,
        open_limits(settings, process.registry) as limits,
    ):
        admission = Admission(
            verifier=verifier, limits=limits, addresses=Addresses(settings.trusted_proxies)
        )
        proxy = Proxy(upstreams=upstreams, admission=admission)
        sockets = Sockets(upstreams=upstreams, admission=admission)
        yield Resources(
            paths=Paths(
                http=ServerSpan(RequestContext(Failures(proxy))),
                websocket=RequestContext(sockets),
            ),
            documents=Documents(upstreams=upstreams, table=table),
        )
