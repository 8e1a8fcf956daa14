"""Clients of one cache, for its tests."""

from prometheus_client import CollectorRegistry

from gateway.exchange import UpstreamAnswer, UpstreamRequest
from gateway.links.cache import Cache, Fetch
from gateway.links.cache_metrics import CacheMetrics
from gateway.links.fields import value_of
from gateway.routes import Auth, Route

ROUTE = Route(prefix="/api/v1/products", service="orders", auth=Auth.PUBLIC, cacheable=True)
TARGET = b"/api/v1/products?limit=2"
TAG = (b"etag", b'"7"')
TOKEN = (b"authorization", b"Bearer x")


class Clients:
    """Clients of one cache. Its clock stands until it is set."""

    def __init__(self, *, max_bytes=1024 * 1024):
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.cache = Cache(
            max_bytes=max_bytes, clock=lambda: self.now, metrics=CacheMetrics(self.registry)
        )
        self.resumed = []

    def request(self, *fields, method=b"GET", target=TARGET):
        return UpstreamRequest(method=method, target=target, route=ROUTE, fields=list(fields))

    def enter(self, *fields, **terms):
        """Let a request enter; return it and what the cache says."""
        request = self.request(*fields, **terms)
        return request, self.cache.enter(request, self.resumed.append)

    def fetch(self, *fields, control=b"public, max-age=10", answer=None, **terms):
        """Let a request fetch, and return what its client gets."""
        _, fetch = self.enter(*fields, **terms)
        assert isinstance(fetch, Fetch)
        return fetch.done(answer or answer_with(control))

    def uses(self, use):
        return self.registry.get_sample_value("gateway_cache_requests_total", {"use": use})


def answer_with(control=b"public, max-age=10", *fields, status=200, body=b'{"id": 7}', tag=TAG):
    kept = [(b"content-type", b"application/json"), (b"cache-control", control), *fields]
    if tag is not None:
        kept.append(tag)
    return UpstreamAnswer(status=status, fields=kept, body=body)


def get(answer, name):
    return value_of(answer.fields, name)
