"""Copies that are old, and clients that have one: preconditions, renewal, failures."""

import pytest

from gateway.exchange import UpstreamAnswer
from gateway.links.cache import Fetch, Waiter
from gateway.links.fields import value_of

from .cache_clients import TAG, TOKEN, Clients, answer_with, get


@pytest.fixture
def clients():
    return Clients()


@pytest.mark.parametrize(
    ("known", "status"),
    [(b'"7"', 304), (b'W/"7"', 304), (b'"6", "7"', 304), (b"*", 304), (b'"6"', 200), (b"7", 200)],
)
def test_a_client_that_has_the_copy_gets_304(clients, known, status):
    condition = (b"if-none-match", known)
    first = clients.fetch(condition)
    _, hit = clients.enter(condition)
    for answer in (first, hit):
        assert answer.status == status
        assert (answer.body == b"") is (status == 304)
        assert get(answer, b"cache-control") == b"public, max-age=10"
        assert get(answer, b"etag") == b'"7"'
        assert (get(answer, b"content-type") is None) is (status == 304)


def test_a_304_says_which_fields_select_and_until_when_it_holds(clients):
    kept = [(b"vary", b"accept"), (b"content-location", b"/x"), (b"expires", b"0")]
    clients.fetch(answer=answer_with(b"max-age=10", *kept))
    _, hit = clients.enter((b"if-none-match", b"*"))
    assert hit.status == 304
    assert (get(hit, b"age"), get(hit, b"cache-status")) == (b"0", b"gateway; hit; ttl=10")
    assert [item for item in kept if item not in hit.fields] == []


def test_also_what_is_not_kept_is_304_for_a_client_that_has_it(clients):
    assert clients.fetch((b"if-none-match", b'"7"'), control=b"no-cache").status == 304


def test_an_error_is_no_confirmation_whatever_its_tag(clients):
    missing = answer_with(b"no-store", status=404)
    assert clients.fetch((b"if-none-match", b'"7"'), answer=missing).status == 404


def test_an_old_copy_is_confirmed_by_its_tag(clients):
    clients.fetch()
    clients.now = 15
    request, fetch = clients.enter((b"if-none-match", b'"1"'))
    assert value_of(request.fields, b"if-none-match") == b'"7"'
    news = [TAG, (b"cache-control", b"public, max-age=30"), (b"x-new", b"1")]
    answer = fetch.done(UpstreamAnswer(status=304, fields=news))
    assert (answer.status, answer.body) == (200, b'{"id": 7}')
    assert get(answer, b"age") == b"0"
    assert (clients.uses("miss"), clients.uses("confirmed")) == (1, 1)
    assert get(answer, b"x-new") == b"1"
    assert get(answer, b"content-type") == b"application/json"
    assert get(answer, b"cache-status") == (b"gateway; fwd=stale; fwd-status=304; stored; ttl=30")
    clients.now = 44
    assert isinstance(clients.enter()[1], UpstreamAnswer)


def test_an_old_copy_without_a_tag_can_not_be_confirmed(clients):
    clients.fetch(answer=answer_with(tag=None))
    clients.now = 10
    request, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    assert b"if-none-match" not in dict(request.fields)


@pytest.mark.parametrize(
    "news",
    [
        [(b"cache-control", b"no-store")],
        [(b"cache-control", b"private, max-age=10")],
        [(b"vary", b"authorization")],
        [(b"set-cookie", b"a=1")],
    ],
)
def test_a_confirmation_that_may_not_be_shared_ends_the_copy(clients, news):
    clients.fetch()
    clients.now = 10
    _, fetch = clients.enter()
    clients.enter()
    answer = fetch.done(UpstreamAnswer(status=304, fields=[TAG, *news]))
    assert (answer.status, answer.body) == (200, b'{"id": 7}')
    assert news[0] in answer.fields
    assert get(answer, b"cache-status") == b"gateway; fwd=stale; fwd-status=304"
    assert clients.resumed == [None], "nobody gets what was said to another"
    request, _ = clients.enter()
    assert value_of(request.fields, b"if-none-match") is None


def test_what_a_service_confirms_to_a_token_alone_reaches_nobody_else(clients):
    clients.fetch()
    clients.now = 10
    _, fetch = clients.enter(TOKEN)
    clients.enter()
    news = [TAG, (b"cache-control", b"max-age=10"), (b"x-caller", b"ada")]
    assert get(fetch.done(UpstreamAnswer(status=304, fields=news)), b"x-caller") == b"ada"
    assert clients.resumed == [None]
    _, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    renewed = fetch.done(UpstreamAnswer(status=304, fields=[TAG]))
    assert get(renewed, b"x-caller") is None


def test_no_cache_is_kept_and_confirmed_at_each_use(clients):
    clients.fetch(control=b"no-cache, max-age=10")
    request, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    assert value_of(request.fields, b"if-none-match") == b'"7"'


def test_during_renewal_others_get_the_old_copy_for_as_long_as_the_service_allows(clients):
    clients.fetch(control=b"max-age=10, stale-while-revalidate=5")
    clients.now = 14.9
    assert isinstance(clients.enter()[1], Fetch)
    _, stale = clients.enter()
    assert get(stale, b"cache-status") == b"gateway; hit; ttl=-4"
    assert get(stale, b"age") == b"14"
    clients.now = 15
    assert isinstance(clients.enter()[1], Waiter)
    assert clients.uses("stale") == 1


@pytest.mark.parametrize("control", [b"max-age=10", b"max-age=10, stale-if-error=60, no-cache"])
def test_if_the_service_fails_the_failure_is_passed_on(clients, control):
    clients.fetch(control=control)
    clients.now = 10
    assert clients.fetch(answer=answer_with(b"no-store", status=500)).status == 500
    clients.now = 20
    request, fetch = clients.enter()
    assert value_of(request.fields, b"if-none-match") == b'"7"', "the copy is still there"
    assert fetch.failed() is None


def test_if_the_service_fails_an_old_copy_is_sent_where_the_service_allowed_it(clients):
    clients.fetch(control=b"max-age=10, stale-if-error=60")
    clients.now = 12
    sent = clients.fetch(answer=answer_with(b"no-store", status=503))
    assert (sent.status, sent.body) == (200, b'{"id": 7}')
    assert get(sent, b"cache-status") == b"gateway; hit; ttl=-2; fwd=stale; fwd-status=503"
    assert isinstance(clients.enter()[1], UpstreamAnswer), "nobody asks a service that just failed"
    clients.now = 20
    _, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    old = fetch.failed()
    assert old is not None
    assert old.body == b'{"id": 7}'
    clients.now = 70
    assert clients.fetch(answer=answer_with(b"no-store", status=503)).status == 503


def test_an_old_copy_that_says_public_is_sent_also_to_a_token_if_the_service_fails(clients):
    clients.fetch(control=b"public, max-age=10, stale-if-error=60")
    clients.now = 12
    sent = clients.fetch(TOKEN, answer=answer_with(b"no-store", status=503))
    assert (sent.status, sent.body) == (200, b'{"id": 7}')


def test_a_service_that_failed_is_asked_again_once_the_copy_is_too_old_to_be_sent(clients):
    clients.fetch(control=b"max-age=10, stale-if-error=3")
    clients.now = 12
    assert clients.fetch(answer=answer_with(b"no-store", status=500)).status == 200
    assert isinstance(clients.enter()[1], UpstreamAnswer)
    clients.now = 13
    assert clients.enter()[1] is None
