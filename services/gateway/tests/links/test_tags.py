import pytest

from gateway.links.codings import Coding
from gateway.links.tags import marked, marks_of, names_tag, of_media, without_marks


@pytest.mark.parametrize(
    ("xml", "coding", "marks"),
    [
        (False, None, b""),
        (True, None, b"-xml"),
        (False, Coding.GZIP, b"-gzip"),
        (True, Coding.ZSTD, b"-xml-zstd"),
    ],
)
def test_each_representation_has_marks_of_its_own_that_come_off_again(xml, coding, marks):
    assert marks_of(xml=xml, coding=coding) == marks
    for tag in (b'"7"', b'W/"7"', b'"a-b"', b'""', b'"x,y"'):
        assert without_marks(marked(tag, marks)) == tag


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b"*", b"*"),
        (b'"7"', b'"7"'),
        (b'"7-gzip"', b'"7"'),
        (b'W/"7-gzip"', b'W/"7"'),
        (b'"7-xml-gzip"', b'"7"'),
        (b'"7-gzip", "8-zstd" ,W/"9-xml"', b'"7", "8" ,W/"9"'),
        (b'"gzip"', b'"gzip"'),
        (b'"7-gzipped"', b'"7-gzipped"'),
        (b'"7-gzip-x"', b'"7-gzip-x"'),
        (b'"a-gzip,b", "7-gzip"', b'"a-gzip,b", "7"'),  # the comma is part of the first tag
        (b"7-gzip", b"7-gzip"),  # no tag: the service rejects it
        (b'"7-gzip', b'"7-gzip'),
    ],
)
def test_the_service_gets_its_own_tags(line, passed):
    assert without_marks(line) == passed


def test_a_value_that_is_no_tag_gets_no_mark():
    assert marked(b"7", b"-gzip") == b"7"


LINE = b'"7", "8-gzip", W/"9-xml", "9-xml-gzip"'


@pytest.mark.parametrize(
    ("xml", "tags"),
    [
        (False, [(b'"7"', b""), (b'"8"', b"-gzip")]),
        (True, [(b'"9"', b"-xml"), (b'"9"', b"-xml-gzip")]),
    ],
)
def test_a_copy_in_json_confirms_no_xml_and_the_other_way_round(xml, tags):
    assert of_media(LINE, xml=xml) == tags


@pytest.mark.parametrize("tag", [b'"7-gzip"', b'W/"7-gzip"'])
@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b'"7-gzip"', True),
        (b'"6", W/"7-gzip"', True),
        (b" * ", True),
        (b'"7"', False),
        (b'"7-xml-gzip"', False),
        (b"7-gzip", False),
    ],
)
def test_an_if_none_match_names_a_tag_by_the_weak_comparison(tag, line, named):
    assert names_tag(line, tag) is named
