"""Connections to the services: bounded pools, and one request at a time on each connection."""

from gateway.pool.call import Broken, Call
from gateway.pool.fetch import Fetch, Unreachable, request_head
from gateway.pool.names import Address, Names
from gateway.pool.pool import Pool

__all__ = [
    "Address",
    "Broken",
    "Call",
    "Fetch",
    "Names",
    "Pool",
    "Unreachable",
    "request_head",
]
