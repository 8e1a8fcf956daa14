"""The cache of public reads: what is kept, for whom, and who asks the service."""

import pytest

from gateway.exchange import UpstreamAnswer
from gateway.links.cache import APART_SECONDS, Fetch, Waiter
from gateway.links.fields import value_of

from .cache_clients import TARGET, TOKEN, Clients, answer_with, get


@pytest.fixture
def clients():
    return Clients()


def test_the_first_fetches_and_the_next_gets_the_copy_with_its_age(clients):
    first = clients.fetch()
    assert first.body == b'{"id": 7}'
    assert get(first, b"cache-status") == b"gateway; fwd=uri-miss; fwd-status=200; stored; ttl=10"
    clients.now = 4.9
    _, hit = clients.enter()
    assert hit.body == b'{"id": 7}'
    assert get(hit, b"age") == b"4"
    assert get(hit, b"cache-status") == b"gateway; hit; ttl=6"
    assert get(hit, b"etag") == b'"7"'
    assert (clients.uses("miss"), clients.uses("hit")) == (1, 1)


@pytest.mark.parametrize("age", [0, 4])
def test_a_copy_is_used_until_its_lifetime_is_over(clients, age):
    clients.fetch(answer=answer_with(b"public, max-age=10", (b"age", b"%d" % age)))
    clients.now = 9.9 - age
    assert get(clients.enter()[1], b"age") == b"9"
    clients.now = 10 - age
    assert isinstance(clients.enter()[1], Fetch)


@pytest.mark.parametrize(
    "answer",
    [
        answer_with(b"no-store"),
        answer_with(b"private, max-age=10"),
        answer_with(b"public"),
        answer_with(b"public, max-age=10", (b"set-cookie", b"a=1")),
        answer_with(b"public, max-age=10", (b"vary", b"*")),
        answer_with(b"public, max-age=10", (b"vary", b"Accept, Authorization")),
        answer_with(b"public, max-age=10", (b"vary", b"x-tenant")),
        answer_with(b"public, max-age=10", status=404),
        answer_with(b"public, max-age=10", status=301),
        answer_with(b"public, max-age=10", (b"content-range", b"bytes 0-1/9")),
        answer_with(b"public, max-age=10", body=b"x" * 40_000),
    ],
    ids=[
        "no-store", "private", "no lifetime", "a cookie", "vary *", "vary by caller",
        "vary by what the key lacks", "an error", "a redirect", "a part", "too large",
    ],
)  # fmt: skip
def test_what_may_not_be_shared_is_not_kept(clients, answer):
    assert clients.fetch(answer=answer).body == answer.body
    assert clients.enter()[1] is None, "nobody waits for what can't be shared"
    clients.now = 5
    assert isinstance(clients.enter()[1], Fetch)


def test_a_response_that_is_no_longer_public_ends_the_copy(clients):
    clients.fetch()
    clients.now = 10
    clients.fetch(control=b"private")
    clients.now = 20
    request, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    assert value_of(request.fields, b"if-none-match") is None


def test_the_service_sees_only_what_selects_a_copy(clients):
    request, _ = clients.enter(
        (b"accept", b"application/json"),
        (b"accept-encoding", b"br"),
        (b"cookie", b"session=1"),
        (b"x-forwarded-scheme", b"nothing"),
        (b"user-agent", b"curl"),
        (b"if-none-match", b'"1"'),
        (b"if-modified-since", b"Sun, 06 Nov 1994 08:49:37 GMT"),
        (b"cache-control", b"no-cache"),
    )
    assert request.fields == [
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
    ]


# Who gets which copy.


def test_a_response_with_vary_is_kept_for_each_value(clients):
    for language in (b"de", b"fr"):
        answer = answer_with(
            b"public, max-age=10", (b"vary", b"Accept-Language, Cookie"), body=language
        )
        clients.fetch((b"accept-language", language), answer=answer)
    for language in (b"de", b"fr"):
        assert clients.enter((b"accept-language", language))[1].body == language
    assert isinstance(clients.enter((b"accept-language", b"it"))[1], Fetch)


def test_a_vary_by_what_the_service_does_not_see_selects_nothing(clients):
    vary = (b"vary", b"Accept-Encoding, Cookie, Origin, User-Agent,")
    clients.fetch(answer=answer_with(b"max-age=10", vary))
    assert isinstance(clients.enter((b"user-agent", b"curl"))[1], UpstreamAnswer)


def test_what_caches_before_said_of_a_response_is_not_kept(clients):
    said = [(b"age", b"3"), (b"cache-status", b"inner; hit")]
    clients.fetch(answer=answer_with(b"max-age=10", *said))
    hit = clients.enter()[1]
    assert (get(hit, b"age"), get(hit, b"cache-status")) == (b"3", b"gateway; hit; ttl=7")


def test_if_vary_changes_no_older_copy_is_taken_for_one_of_the_new_kind(clients):
    clients.fetch(answer=answer_with(b"max-age=10", (b"vary", b"accept")))
    fields = ((b"accept", b"text/x"), (b"accept-language", b"de"))
    clients.fetch(*fields, answer=answer_with(b"max-age=10", (b"vary", b"accept-language")))
    assert isinstance(clients.enter((b"accept", b"text/y"))[1], Fetch)


def test_many_variants_push_out_the_oldest(clients):
    for number in range(10):
        language = b"l%d" % number
        answer = answer_with(b"max-age=10", (b"vary", b"accept-language"), body=language)
        clients.fetch((b"accept-language", language), answer=answer)
    target = clients.cache.copies.target(b" " + TARGET)
    assert len(target.copies) == 8
    assert isinstance(clients.enter((b"accept-language", b"l0"))[1], Fetch)


def test_each_query_has_its_own_copy(clients):
    clients.fetch()
    assert isinstance(clients.enter(target=TARGET + b"&x=1")[1], Fetch)


@pytest.mark.parametrize("terms", [{"authority": b"https://evil.example"}, {"has_body": True}])
def test_neither_the_host_nor_a_body_can_put_something_into_the_copy_of_others(clients, terms):
    clients.fetch()
    request = clients.request()
    for name, value in terms.items():
        setattr(request, name, value)
    assert not isinstance(clients.cache.enter(request, clients.resumed.append), UpstreamAnswer)
    assert isinstance(clients.enter()[1], UpstreamAnswer)


def test_a_request_with_a_token_gets_a_copy_only_if_the_response_says_public(clients):
    clients.fetch()
    assert isinstance(clients.enter(TOKEN)[1], UpstreamAnswer)
    clients.now = 10
    clients.fetch(control=b"max-age=10")
    request, alone = clients.enter(TOKEN)
    assert alone is None
    assert TOKEN in request.fields
    assert isinstance(clients.enter()[1], UpstreamAnswer)


def test_of_several_copies_a_request_with_a_token_gets_no_private_one(clients):
    for language, control in ((b"de", b"max-age=10"), (b"en", b"public, max-age=10")):
        vary = (b"vary", b"accept-language")
        clients.fetch((b"accept-language", language), answer=answer_with(control, vary))
    assert clients.enter(TOKEN, (b"accept-language", b"de"))[1] is None
    assert isinstance(clients.enter(TOKEN, (b"accept-language", b"en"))[1], UpstreamAnswer)


@pytest.mark.parametrize("control", [b"max-age=10", b"s-maxage=10", b"private", b"no-store"])
def test_a_response_to_a_token_is_kept_only_if_it_says_public(clients, control):
    clients.fetch(TOKEN, control=control)
    assert isinstance(clients.enter()[1], Fetch)
    other = Clients()
    other.fetch(TOKEN, control=b"public, max-age=10")
    assert isinstance(other.enter()[1], UpstreamAnswer)


def test_what_only_requests_with_a_token_read_is_kept_again_after_a_refusal(clients):
    clients.fetch(TOKEN, answer=answer_with(b"no-store", status=404))
    assert clients.enter(TOKEN)[1] is None
    clients.now = APART_SECONDS
    clients.fetch(TOKEN)
    assert isinstance(clients.enter(TOKEN)[1], UpstreamAnswer)


def test_a_request_with_a_token_that_has_the_resource_may_be_told_so(clients):
    clients.fetch(TOKEN, control=b"private")
    request, alone = clients.enter(TOKEN, (b"if-none-match", b'"7"'))
    assert alone is None
    assert value_of(request.fields, b"if-none-match") == b'"7"'


def test_once_a_response_is_public_requests_with_a_token_share_it_at_once(clients):
    clients.fetch(TOKEN, control=b"private")
    clients.fetch()
    assert isinstance(clients.enter(TOKEN)[1], UpstreamAnswer)


def test_a_response_to_a_token_spoils_no_copy_of_others(clients):
    clients.fetch()
    clients.now = 10
    clients.fetch(TOKEN, control=b"private")
    _, fetch = clients.enter()
    assert isinstance(fetch, Fetch)
    assert fetch.stale is not None


@pytest.mark.parametrize("name", [b"range", b"if-match", b"if-range", b"if-unmodified-since"])
def test_a_request_for_more_than_the_resource_passes_by(clients, name):
    clients.fetch()
    assert clients.enter((name, b"x"))[1] is None
    assert clients.uses("bypass") == 1


def test_head_gets_the_fields_of_the_copy_and_makes_none(clients):
    request, alone = clients.enter((b"if-none-match", b'"1"'), method=b"HEAD")
    assert alone is None
    assert value_of(request.fields, b"if-none-match") == b'"1"'
    clients.fetch()
    _, hit = clients.enter(method=b"HEAD")
    assert (hit.body, get(hit, b"etag")) == (b"", b'"7"')


# Many at once.


def waiting(clients, *requests):
    """Let one request fetch and others wait; return the fetch and the Waiters."""
    _, fetch = clients.enter()
    waiters = [clients.enter(*fields)[1] for fields in requests]
    assert isinstance(fetch, Fetch)
    assert all(isinstance(waiter, Waiter) for waiter in waiters)
    return fetch, waiters


def test_one_request_to_the_service_answers_all_who_wait(clients):
    fetch, _ = waiting(clients, *[[] for _ in range(50)])
    fetch.done(answer_with())
    assert len(clients.resumed) == 50
    for answer in clients.resumed:
        assert answer.body == b'{"id": 7}'
        assert get(answer, b"cache-status") == (
            b"gateway; fwd=uri-miss; fwd-status=200; collapsed; ttl=10"
        )
    assert clients.uses("collapsed") == 50


def test_also_a_response_that_is_old_at_once_answers_those_who_waited_for_it(clients):
    fetch, _ = waiting(clients, [], [])
    fetch.done(answer_with(b"max-age=0"))
    assert [answer.status for answer in clients.resumed] == [200, 200]


def test_each_who_waits_gets_what_its_own_request_asks_for(clients):
    fetch, _ = waiting(clients, [(b"if-none-match", b'"7"')], [TOKEN], [])
    fetch.done(answer_with(b"max-age=10"))
    assert [answer and answer.status for answer in clients.resumed] == [304, None, 200]


def test_who_waits_for_another_variant_asks_again(clients):
    fetch, _ = waiting(clients, [(b"accept-language", b"de")], [])
    fetch.done(answer_with(b"max-age=10", (b"vary", b"accept-language")))
    assert [answer and answer.status for answer in clients.resumed] == [None, 200]
    assert isinstance(clients.enter((b"accept-language", b"de"))[1], Fetch)


@pytest.mark.parametrize("answer", [answer_with(b"private"), answer_with(b"no-store", status=503)])
def test_if_it_can_not_be_shared_all_ask_for_themselves_at_once(clients, answer):
    fetch, _ = waiting(clients, [], [])
    fetch.done(answer)
    assert clients.resumed == [None, None]
    assert clients.enter()[1] is None
    assert clients.enter()[1] is None


def test_if_the_client_of_the_fetch_leaves_the_next_one_fetches(clients):
    fetch, _ = waiting(clients, [], [])
    fetch.left()
    assert clients.resumed == [None, None]
    assert isinstance(clients.enter()[1], Fetch)
    assert isinstance(clients.enter()[1], Waiter)


def test_a_waiter_that_left_is_not_resumed(clients):
    fetch, (first, _) = waiting(clients, [], [(b"if-none-match", b'"7"')])
    first.leave()
    first.leave()
    fetch.done(answer_with())
    assert [answer.status for answer in clients.resumed] == [304]


def test_the_end_of_a_fetch_that_is_over_ends_no_later_one(clients):
    _, old = clients.enter()
    old.left()
    _, fetch = clients.enter()
    old.left()
    assert isinstance(clients.enter()[1], Waiter)
    fetch.done(answer_with())
    assert len(clients.resumed) == 1
