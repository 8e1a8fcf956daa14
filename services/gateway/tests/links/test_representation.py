"""The form of a response: compressed, as XML, with the tag of its own representation."""

import gzip
import json
from itertools import product

import pytest

from gateway.errors import Refused
from gateway.exchange import UpstreamAnswer, UpstreamRequest
from gateway.links.codings import Coding, zstd
from gateway.links.fields import value_of
from gateway.links.media import Media
from gateway.links.representation import Preferences, needs_whole, represented
from gateway.links.representation import choice_of as choice_with
from gateway.routes import Route

ROUTE = Route(prefix="/api/v1/things", service="orders")
LARGE = json.dumps({"items": ["oak table"] * 200}).encode()
SMALL = b'{"id": 7}'
JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
TAG = (b"etag", b'"7"')


def choice_of(request):
    return choice_with(request, Preferences())


def asked(*fields, method=b"GET"):
    return UpstreamRequest(
        method=method, target=b"/api/v1/things", route=ROUTE, fields=list(fields)
    )


def answer(*fields, body=LARGE, status=200):
    length = (b"content-length", str(len(body)).encode())
    return UpstreamAnswer(status=status, fields=[*fields, length], body=body)


def exchanged(request, response):
    """Return what the client gets, as the data path makes it."""
    choice = choice_of(request)
    if not needs_whole(choice, response.status, response.fields):
        return response
    return represented(choice, response)


def get(response, name):
    return value_of(response.fields, name)


GZIP = (b"accept-encoding", b"gzip")
XML = (b"accept", b"application/xml")


@pytest.mark.parametrize(
    ("coding", "read"), [(b"gzip", gzip.decompress), (b"zstd", zstd.decompress)]
)
def test_a_body_is_sent_in_the_coding_that_the_client_prefers(coding, read):
    sent = exchanged(asked((b"accept-encoding", coding)), answer(JSON, TAG))
    assert read(sent.body) == LARGE
    assert get(sent, b"content-encoding") == coding
    assert get(sent, b"content-length") == str(len(sent.body)).encode()
    assert get(sent, b"etag") == b'"7-%b"' % coding


UNCOMPRESSED = {
    "tiny": answer(JSON, TAG, body=SMALL),
    "one byte too small": answer(JSON, body=b'"%b"' % (b"x" * 1021)),
    "one byte too large": answer(JSON, body=b'"%b"' % (b"x" * (256 * 1024 - 1))),
    "coded already": answer(JSON, (b"content-encoding", b"br")),
    "an image": answer((b"content-type", b"image/png")),
    "an archive": answer((b"content-type", b"application/zip")),
    "events": answer((b"content-type", b"text/event-stream")),
    "no type": answer(),
    "not to be changed": answer(JSON, (b"cache-control", b"max-age=1, No-Transform")),
    "a secret": answer(JSON, (b"cache-control", b"no-store")),
    "a cookie": answer(JSON, (b"set-cookie", b"a=1")),
    "a part": answer(JSON, status=206),
    "without a body": answer(JSON, body=b"", status=204),
}


@pytest.mark.parametrize("response", UNCOMPRESSED.values(), ids=UNCOMPRESSED.keys())
def test_what_is_not_worth_it_or_must_not_change_stays_as_it_is(response):
    assert exchanged(asked(GZIP), response) is response


def test_what_is_coded_already_is_not_held():
    response = UNCOMPRESSED["coded already"]
    assert not needs_whole(choice_of(asked(GZIP)), response.status, response.fields)


@pytest.mark.parametrize("size", [1024, 256 * 1024])
def test_the_smallest_and_the_largest_body_are_compressed(size):
    sent = exchanged(asked(GZIP), answer(JSON, body=b'"%b"' % (b"x" * (size - 2))))
    assert get(sent, b"content-encoding") == b"gzip"


@pytest.mark.parametrize(
    "kind",
    [
        *(b"application/json; charset=utf-8", b"application/hal+json", b"text/html"),
        *(b"application/javascript", b"application/xml", b"IMAGE/SVG+XML"),
    ],
)
def test_text_is_compressed(kind):
    sent = exchanged(asked(GZIP), answer((b"content-type", kind)))
    assert get(sent, b"content-encoding") == b"gzip"


def test_a_body_of_unknown_length_is_compressed_if_it_turns_out_large_enough():
    for body, coding in ((LARGE, b"gzip"), (SMALL, None)):
        response = UpstreamAnswer(status=200, fields=[JSON], body=body)
        assert get(exchanged(asked(GZIP), response), b"content-encoding") == coding


def test_the_service_is_asked_for_json_without_a_coding():
    request = asked(XML, GZIP, (b"x-other", b"1"))
    choice_of(request)
    assert request.fields == [
        (b"x-other", b"1"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
    ]


def test_without_a_wish_the_choice_changes_nothing():
    request = asked((b"accept", b"*/*"), (b"accept-encoding", b"identity"))
    before = list(request.fields)
    assert choice_of(request).changes_nothing
    assert request.fields == before


def test_json_becomes_xml_and_its_tag_says_so():
    sent = exchanged(asked(XML), answer(JSON, TAG, body=SMALL))
    assert get(sent, b"content-type") == b"application/xml"
    assert sent.body.endswith(b'<response type="object"><id type="number">7</id></response>')
    assert get(sent, b"content-length") == str(len(sent.body)).encode()
    assert get(sent, b"etag") == b'"7-xml"'
    assert get(sent, b"content-encoding") is None


def test_xml_is_compressed_like_json():
    sent = exchanged(asked(XML, GZIP), answer(JSON, TAG))
    assert gzip.decompress(sent.body).startswith(b"<?xml")
    assert get(sent, b"etag") == b'"7-xml-gzip"'


def test_a_problem_becomes_a_problem_in_xml():
    problem = answer(PROBLEM, body=b'{"status": 404}', status=404)
    sent = exchanged(asked(XML), problem)
    assert sent.status == 404
    assert get(sent, b"content-type") == b"application/problem+xml"
    assert sent.body.endswith(b"<status>404</status></problem>")
    assert exchanged(asked((b"accept", b"application/json")), problem) is problem


def test_a_client_may_want_problems_in_another_form_than_documents():
    wish = asked((b"accept", b"application/json;q=0.5, application/problem+xml"))
    sent = exchanged(wish, answer(PROBLEM, body=b'{"status": 404}', status=404))
    assert get(sent, b"content-type") == b"application/problem+xml"
    document = answer(JSON)
    assert exchanged(wish, document) is document


def test_a_service_whose_json_is_broken_is_502_for_a_client_of_xml():
    with pytest.raises(Refused) as caught:
        exchanged(asked(XML), answer(JSON, body=b"{"))
    assert caught.value.status == 502


def test_what_is_not_json_is_sent_as_it_is_to_a_client_of_xml():
    page = answer((b"content-type", b"text/html"), body=b"<p>")
    assert exchanged(asked(XML), page) is page


@pytest.mark.parametrize(
    "unreadable", [answer(JSON, (b"content-encoding", b"br")), answer(JSON, status=206)]
)
def test_json_that_can_not_be_read_here_is_sent_as_it_is_to_a_client_of_xml(unreadable):
    assert exchanged(asked(XML), unreadable) is unreadable


def test_neither_json_nor_xml_is_406():
    with pytest.raises(Refused) as caught:
        choice_of(asked((b"accept", b"text/csv")))
    assert caught.value.status == 406


def test_a_list_too_long_to_be_read_counts_as_none():
    long = b"text/csv, " * 200
    assert choice_of(asked((b"accept", long), (b"accept-encoding", b"gzip, " * 200))).media is (
        Media.JSON
    )


def test_lists_too_long_to_be_read_take_no_memory():
    preferences = Preferences()
    sizes = (2_000, 20_000)
    known = [preferences.choice(b"x" * size, b"y" * size, head=False) for size in sizes]
    assert known[0] is known[1], "they are remembered as one"


def test_what_clients_prefer_is_remembered_for_the_last_few():
    preferences = Preferences()
    first = preferences.choice(b"*/*", b"gzip", head=False)
    assert preferences.choice(b"*/*", b"gzip", head=False) is first
    for number in range(300):
        preferences.choice(b"*/*, a/%d" % number, b"gzip", head=False)
    assert preferences.choice(b"*/*", b"gzip", head=False) is not first


def test_no_client_gets_the_form_that_another_prefers():
    preferences = Preferences()
    medias, codings = {None: Media.JSON, XML[1]: Media.XML}, {None: None, GZIP[1]: Coding.GZIP}
    for accept, coding, head in product(medias, codings, (False, True)):
        choice = preferences.choice(accept, coding, head=head)
        assert (choice.media, choice.coding) == (medias[accept], codings[coding])
        assert choice.head is head


def test_head_says_nothing_of_a_body_whose_length_is_unknown():
    response = UpstreamAnswer(status=200, fields=[JSON, TAG])
    assert exchanged(asked(GZIP, method=b"HEAD"), response) is response


@pytest.mark.parametrize(
    ("fields", "length", "expected"),
    [
        ([GZIP], b"5000", {b"content-encoding": b"gzip", b"etag": b'"7-gzip"'}),
        ([GZIP], b"50", {b"content-length": b"50", b"etag": b'"7"'}),
        ([XML], b"50", {b"content-type": b"application/xml", b"etag": b'"7-xml"'}),
    ],
)
def test_head_has_the_fields_of_get_but_no_length_that_would_be_wrong(fields, length, expected):
    response = UpstreamAnswer(status=200, fields=[JSON, TAG, (b"content-length", length)])
    sent = exchanged(asked(*fields, method=b"HEAD"), response)
    assert expected.items() <= dict(sent.fields).items()
    assert (get(sent, b"content-length") is None) is (b"content-length" not in expected)
    assert sent.body == b""


@pytest.mark.parametrize(
    ("method", "accept", "sent", "passed"),
    [
        (b"GET", b"*/*", b'"7-gzip"', b'"7"'),
        (b"GET", b"*/*", b'"7", "7-gzip", "8-zstd"', b'"7", "8"'),
        (b"GET", b"*/*", b'"7-xml"', None),  # the copy is XML, and this response will be JSON
        (b"GET", b"application/xml", b'"7-gzip", "7-xml"', b'"7"'),
        (b"GET", b"application/xml", b'"7"', None),
        (b"HEAD", b"*/*", b'W/"7-gzip"', b'"7"'),
        (b"GET", b"*/*", b"*", b"*"),
        (b"GET", b"application/xml", b"*", b"*"),
        (b"PUT", b"*/*", b'"7-xml", "8"', b'"7", "8"'),
        (b"PUT", b"*/*", b"*", b"*"),
    ],
)
def test_if_none_match_names_the_services_own_tags(method, accept, sent, passed):
    request = asked((b"accept", accept), (b"if-none-match", sent), method=method)
    choice_of(request)
    assert value_of(request.fields, b"if-none-match") == passed


def test_if_match_names_the_services_own_tags_or_nothing_could_be_changed():
    request = asked((b"if-match", b'"7-gzip"'), (b"if-match", b'"8"'), method=b"PATCH")
    choice_of(request)
    assert value_of(request.fields, b"if-match") == b'"7", "8"'


@pytest.mark.parametrize(
    ("accept", "sent", "tag"),
    [
        (b"*/*", b'"7-gzip"', b'"7-gzip"'),
        (b"*/*", b'"6-gzip", "7-zstd"', b'"7-zstd"'),
        (b"*/*", b'"7"', b'"7"'),
        (b"application/xml", b'"7-xml-gzip"', b'"7-xml-gzip"'),
    ],
)
def test_a_304_has_the_tag_of_the_copy_that_the_client_holds(accept, sent, tag):
    for weak in (b"", b"W/"):
        request = asked((b"accept", accept), GZIP, (b"if-none-match", weak + sent))
        response = UpstreamAnswer(status=304, fields=[(b"etag", weak + b'"7"')])
        assert get(exchanged(request, response), b"etag") == weak + tag
