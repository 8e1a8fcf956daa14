"""The links of a route together: what is streamed, what is held, and who asks the service."""

import gzip
import json

import pytest
from prometheus_client import CollectorRegistry

from gateway.errors import Refused
from gateway.exchange import UpstreamAnswer, UpstreamRequest
from gateway.links.cache import Cache
from gateway.links.cache_metrics import CacheMetrics
from gateway.links.fields import value_of
from gateway.links.passage import RouteLinks
from gateway.routes import Auth, Route

PLAIN = Route(prefix="/api/v1/orders", service="orders")
CACHED = Route(prefix="/api/v1/products", service="orders", auth=Auth.PUBLIC, cacheable=True)
BODY = json.dumps({"items": ["oak table"] * 200}).encode()
GZIP, XML = (b"accept-encoding", b"gzip"), (b"accept", b"application/xml")
JSON = (b"content-type", b"application/json")


class Clients:
    """Clients of the links of two routes."""

    def __init__(self):
        self.now = 0.0
        self.calls = 0
        self.resumed = 0
        cache = Cache(
            max_bytes=1024 * 1024,
            clock=lambda: self.now,
            metrics=CacheMetrics(CollectorRegistry()),
        )
        self._links = {route: RouteLinks(route, cache=cache) for route in (PLAIN, CACHED)}

    def enter(self, route, *fields, method=b"GET"):
        request = UpstreamRequest(
            method=method, target=route.prefix.encode(), route=route, fields=list(fields)
        )
        return self._links[route].enter(request, self._resume)

    def _resume(self):
        self.resumed += 1


@pytest.fixture
def clients():
    return Clients()


def answer(*fields, control=b"public, max-age=10", body=BODY, status=200):
    kept = [JSON, (b"etag", b'"7"'), (b"cache-control", control), *fields]
    return UpstreamAnswer(status=status, fields=kept, body=body)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"accept", b"*/*"), (b"user-agent", b"curl"), (b"authorization", b"Bearer x")],
        [(b"accept-encoding", b"br, identity")],
        [(b"content-type", b"application/json"), (b"idempotency-key", b"1")],
    ],
)
def test_a_request_without_a_wish_has_no_passage(clients, fields):
    assert clients.enter(PLAIN, *fields) is None


def test_a_304_has_the_tag_of_the_compressed_copy_also_if_no_coding_is_asked_for_now(clients):
    passage = clients.enter(PLAIN, (b"if-none-match", b'"7-gzip"'))
    assert passage is not None
    confirmed = passage.finish(UpstreamAnswer(status=304, fields=[(b"etag", b'"7"')]))
    assert value_of(confirmed.fields, b"etag") == b'"7-gzip"'


def test_what_needs_no_change_streams_though_its_request_had_a_wish(clients):
    passage = clients.enter(PLAIN, GZIP)
    small = answer((b"content-length", b"9"))
    assert not passage.holds(200, small.fields)
    assert passage.holds(200, answer().fields)


def test_what_may_be_kept_is_held_whatever_its_client_accepts(clients):
    passage = clients.enter(CACHED)
    assert passage.holds(200, answer().fields)
    passage.finish(answer())
    assert clients.enter(CACHED).answered


def test_a_held_response_is_represented(clients):
    passage = clients.enter(PLAIN, GZIP)
    assert not passage.answered
    assert gzip.decompress(passage.finish(answer()).body) == BODY


def test_a_copy_is_represented_for_each_client_and_made_once(clients):
    first = clients.enter(CACHED, GZIP)
    assert first.holds(200, answer().fields)
    packed = first.finish(answer()).body
    second = clients.enter(CACHED, GZIP)
    assert second.answered
    assert second.take().body is packed
    assert clients.enter(CACHED).take().body == BODY
    xml = clients.enter(CACHED, XML).take()
    assert xml.body.startswith(b"<?xml")
    assert clients.enter(CACHED, XML).take().body is xml.body


def test_the_forms_of_a_copy_outlive_its_confirmation(clients):
    packed = clients.enter(CACHED, GZIP).finish(answer()).body
    clients.now = 10
    sent = clients.enter(CACHED, GZIP).finish(answer(status=304, body=b""))
    assert (sent.status, value_of(sent.fields, b"age")) == (200, b"0")
    assert sent.body is packed


def test_a_client_that_holds_the_compressed_copy_gets_304_with_its_tag(clients):
    clients.enter(CACHED).finish(answer())
    known = (b"if-none-match", b'"7-gzip"')
    sent = clients.enter(CACHED, GZIP, known).take()
    assert (sent.status, sent.body) == (304, b"")
    assert value_of(sent.fields, b"etag") == b'"7-gzip"'
    assert clients.enter(CACHED, XML, known).take().status == 200


def test_those_who_wait_are_resumed_each_with_its_own_form(clients):
    first = clients.enter(CACHED)
    zipped, xml = clients.enter(CACHED, GZIP), clients.enter(CACHED, XML)
    assert zipped.waiting
    assert xml.waiting
    first.finish(answer())
    assert clients.resumed == 2
    assert gzip.decompress(zipped.take().body) == BODY
    assert xml.take().body.startswith(b"<?xml")


def test_broken_json_refuses_only_the_client_that_wants_xml(clients):
    first = clients.enter(CACHED)
    xml, json_ = clients.enter(CACHED, XML), clients.enter(CACHED)
    assert first.finish(answer(body=b"{")).body == b"{"
    with pytest.raises(Refused):
        xml.take()
    assert json_.take().body == b"{"


def test_if_the_client_that_asks_leaves_the_next_one_asks_and_the_others_wait(clients):
    first, second, third = (clients.enter(CACHED) for _ in range(3))
    first.leave()
    assert clients.resumed == 1
    assert not second.waiting
    assert not second.answered
    assert third.waiting
    second.finish(answer())
    assert third.take().body == BODY
    first.leave()


def test_one_that_asks_in_place_of_another_asks_with_its_own_fields(clients):
    first = clients.enter(CACHED)
    second = clients.enter(CACHED, (b"if-none-match", b'"7"'))
    first.leave()
    assert second.finish(answer()).status == 304


def test_one_that_waits_can_leave(clients):
    first, second = clients.enter(CACHED), clients.enter(CACHED)
    second.leave()
    first.finish(answer())
    assert clients.resumed == 0


def test_if_the_service_fails_those_who_wait_ask_it_themselves(clients):
    first, second, third = (clients.enter(CACHED) for _ in range(3))
    assert first.fail() is None
    assert not second.waiting
    assert not third.waiting
    assert not second.holds(200, answer().fields)


def test_an_old_copy_replaces_a_failure_where_the_service_allowed_it(clients):
    clients.enter(CACHED).finish(answer(control=b"public, max-age=10, stale-if-error=60"))
    clients.now = 20
    passage = clients.enter(CACHED, GZIP)
    assert gzip.decompress(passage.fail().body) == BODY


def test_a_response_too_large_to_be_held_streams_to_its_client_alone(clients):
    first, second = clients.enter(CACHED, GZIP), clients.enter(CACHED)
    first.overflow(200, answer().fields)
    assert not second.waiting
    alone = clients.enter(CACHED)
    assert not alone.waiting
    assert not alone.answered
    with pytest.raises(Refused) as caught:
        clients.enter(CACHED, XML).overflow(200, answer().fields)
    assert caught.value.status == 406


def test_a_change_of_a_cacheable_target_passes_by_the_cache(clients):
    assert clients.enter(CACHED, method=b"POST") is None
