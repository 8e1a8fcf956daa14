"""How a request's body is framed for a service, and when its next part is late."""

from gateway.path.request_body import STALL_SECONDS, RequestBody


def arriving(length=None):
    body = RequestBody(expected=True, max_bytes=100)
    body.begin(length, 0)
    return body


def test_a_request_without_a_body_declares_none():
    body = RequestBody(expected=False, max_bytes=100)
    assert (body.framing(), body.parts()) == (b"", b"")


def test_a_declared_length_is_kept_and_its_body_sent_as_it_is():
    body = arriving(10)
    body.take(b"hello", 0)
    assert (body.framing(), body.parts()) == (b"content-length: 10\r\n", b"hello")
    body.take(b"world", 0)
    body.complete = True
    assert body.parts() == b"world"


def test_chunks_that_are_all_there_get_a_length():
    body = arriving()
    body.take(b"hello", 0)
    body.complete = True
    assert (body.framing(), body.parts()) == (b"content-length: 5\r\n", b"hello")


def test_chunks_that_still_arrive_stay_chunks_which_only_the_bodys_end_ends():
    body = arriving()
    body.take(b"hello", 0)
    assert body.framing() == b"transfer-encoding: chunked\r\n"
    assert body.parts() == b"5\r\nhello\r\n"
    body.take(b"", 0)
    assert body.parts() == b""
    body.complete = True
    assert body.parts() == b"0\r\n\r\n"


def test_each_part_of_a_body_has_a_time_of_its_own():
    body = arriving(100)
    assert body.stalled(STALL_SECONDS)
    body.take(b"hello", STALL_SECONDS - 1)
    assert not body.stalled(2 * STALL_SECONDS - 2)
    assert body.stalled(2 * STALL_SECONDS - 1)
    body.complete = True
    assert not body.stalled(2 * STALL_SECONDS)
