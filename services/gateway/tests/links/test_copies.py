"""The memory of the copies is bounded, whatever clients ask for."""

import pytest

from gateway.links.cache_control import Freshness
from gateway.links.copies import Copies, Copy

MAX_BYTES = 100_000


@pytest.fixture
def copies():
    return Copies(max_bytes=MAX_BYTES)


def copy_of(body):
    return Copy(fields=[], body=body, freshness=Freshness(stored=True), age=0, arrived=0)


def kept(copies, name, body=b"x" * 2000):
    """Keep a copy, and return it."""
    copy = copy_of(body)
    copies.put(copies.target(name), (), copy)
    return copy


def has(copies, name):
    return bool(copies.target(name).copies)


def test_what_was_used_last_stays(copies):
    for number in range(200):
        kept(copies, b"/%d" % number)
        assert copies.bytes <= MAX_BYTES
        assert has(copies, b"/0"), "it is used each time"
    assert not has(copies, b"/1")
    assert has(copies, b"/199")
    assert copies.dropped > 150


def test_targets_without_a_copy_are_bounded_too(copies):
    for number in range(500):
        copies.target(b"/%d" % number)
    assert copies.bytes <= MAX_BYTES


def test_a_copy_counts_with_its_other_forms(copies):
    copy = kept(copies, b"/")
    before = copies.bytes
    copy.keep_form(b"-gzip", b"x" * 500)
    assert copy.form(b"-gzip") == b"x" * 500
    assert copies.bytes == before + 500
    kept(copies, b"/")
    assert copies.bytes == before
    copy.keep_form(b"-zstd", b"x" * 500)
    assert copies.bytes == before, "the copy is no longer kept"


def test_what_a_copy_counts_for_grows_with_each_part_of_it(copies):
    counted = []
    for number, (fields, body, forms) in enumerate(
        [
            ([], b"", {}),
            ([(b"x-a", b"b" * 500)], b"", {}),
            ([], b"x" * 500, {}),
            ([], b"", {b"-gzip": b"x" * 500}),
        ]
    ):
        copy = copy_of(body)
        copy.fields, copy.forms = fields, forms
        target = copies.target(b"/%d" % number)
        before = copies.bytes
        copies.put(target, (), copy)
        counted.append(copies.bytes - before)
    assert counted[0] >= 900
    assert all(more >= counted[0] + 500 for more in counted[1:])


def test_other_forms_make_room_too(copies):
    first, *_, last = (kept(copies, b"/%d" % number, b"x" * 10_000) for number in range(8))
    last.keep_form(b"-xml", b"x" * 20_000)
    assert copies.bytes <= MAX_BYTES
    assert first.size == 0
    assert not has(copies, b"/0")


def test_a_target_dropped_during_its_fetch_is_not_counted(copies):
    target = copies.target(b"/slow")
    for number in range(200):
        kept(copies, b"/%d" % number)
    before = copies.bytes
    late = copy_of(b"x" * 2000)
    copies.put(target, (), late)
    late.keep_form(b"-gzip", b"x" * 500)
    assert copies.bytes == before


def test_what_is_kept_again_was_used(copies):
    old = copies.target(b"/0")
    for number in range(1, 50):
        copies.target(b"/%d" % number)
    copies.put(old, (), copy_of(b"x" * 60_000))
    assert old.kept
    assert has(copies, b"/0")


def test_a_copy_in_place_of_another_pushes_out_no_third(copies):
    target = copies.target(b"/")
    for number in range(8):
        copies.put(target, (b"%d" % number,), copy_of(b"x"))
    copies.put(target, (b"7",), copy_of(b"y"))
    assert len(target.copies) == 8


def test_targets_below_a_changed_path_are_dropped_and_count_no_more(copies):
    kept(copies, b"http://x /other")
    before = copies.bytes
    copy = kept(copies, b"http://x /things/1")
    waiting = copies.target(b"http://y /things?limit=2")
    copies.drop_below(b"/things")
    assert copies.bytes == before
    copies.put(waiting, (), copy_of(b"x"))
    copy.keep_form(b"-gzip", b"x")
    assert copies.bytes == before, "what was on the way is not kept"
    assert has(copies, b"http://x /other")


def test_a_change_drops_also_what_was_asked_for_through_several_proxies(copies):
    kept(copies, b"http://x, y\nz /things/1")  # both wrote `X-Forwarded-Host`
    copies.drop_below(b"/things")
    assert not has(copies, b"http://x, y\nz /things/1")


def test_nothing_is_counted_twice_or_for_ever(copies):
    for number in range(300):
        kept(copies, b"/%d" % (number % 40), b"x" * (number * 37 % 3000))
    for name in list(copies._targets):
        copies.forget(copies.target(name))
    assert copies.bytes == sum(1024 + len(name) for name in copies._targets)
