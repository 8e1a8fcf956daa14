"""What a client prefers, from Accept and Accept-Encoding."""

import zlib

import pytest

from gateway.links.codings import Coding, coding_for, compressed, zstd
from gateway.links.media import Media, media_for, media_of_problem

ZSTD, GZIP = Coding.ZSTD, Coding.GZIP
JSON, XML = Media.JSON, Media.XML


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"", None),
        (b"identity", None),
        (b"gzip", GZIP),
        (b"GZIP", GZIP),
        (b"zstd", ZSTD),
        (b"gzip, deflate, br, zstd", ZSTD),  # a browser: the cheapest of those equally liked
        (b"gzip, deflate, br", GZIP),
        (b"br", None),
        (b"*", ZSTD),
        (b"*;q=0", None),
        (b"zstd;q=0, *", GZIP),
        (b"gzip;q=0", None),
        (b"gzip; q=0.000", None),
        (b"zstd;q=0.5, gzip;q=0.6", GZIP),
        (b"gzip;q=0.5, identity", None),
        (b"gzip;q=0.5, identity;q=0.5", GZIP),
        (b"gzip;q=0.5, identity;q=0", GZIP),
        (b"identity;q=0", None),  # nothing is left, so the body stays as it is
        (b"gzip;q=2", None),
        (b"gzip;q=x", None),
        (b"gzip;q=-1", None),
        (b"gzip;q=0.1234", None),
        (b", ,gzip,", GZIP),
        (b";;;,gzip;level=9", GZIP),
        (b"gzip;q=0, gzip;q=1", GZIP),
        (b"gzip;q=1, gzip;q=0", GZIP),
        (b"zstd;Q=0.5, gzip", GZIP),
        (b"zstd;q=1.5, gzip", GZIP),
        (b"zstd;q=x, *;q=0.5", ZSTD),
    ],
)
def test_the_coding_is_the_one_with_the_highest_weight(accepted, coding):
    assert coding_for(accepted) is coding


@pytest.mark.parametrize("coding", Coding)
def test_a_coded_body_is_what_any_decoder_of_the_coding_reads(coding):
    body = b'{"name": "oak table"}' * 100
    packed = compressed(body, coding)
    assert len(packed) < len(body) / 4
    read = zstd.decompress if coding is ZSTD else lambda data: zlib.decompress(data, 31)
    assert read(packed) == body


@pytest.mark.parametrize(
    ("accepted", "media"),
    [
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"application/json;q=0.001", JSON),
        (b"application/xml", XML),
        (b"Application/XML; charset=utf-8", XML),
        (b"application/json, application/xml", JSON),
        (b"application/xml, application/json", JSON),
        (b"application/json;q=0.8, application/xml", XML),
        (b"application/xml;q=0.8, */*;q=0.9", JSON),
        (b"application/json, text/plain, */*", JSON),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", XML),
        (b"application/json;q=0, */*", XML),
        (b"application/json;q=0", None),
        (b"text/html", None),
        (b"text/xml", None),
        (b"*/*;q=0", None),
        (b"application/*;q=0, */*", None),
        (b"application/json;q=0, application/xml;q=0, */*", None),
        (b"application/jwk-set+json", JSON),
        (b"application/jwk-set+json;q=0.1, */*", JSON),
        (b"application/problem+json", JSON),
        (b"application/problem+xml", None),
    ],
)
def test_the_media_type_is_the_one_with_the_highest_weight(accepted, media):
    assert media_for(accepted) is media


@pytest.mark.parametrize(
    ("accepted", "media"),
    [
        (b"*/*", JSON),
        (b"application/json", JSON),
        (b"application/xml", XML),
        (b"application/problem+xml", XML),
        (b"application/*;q=0.5, application/problem+xml;q=0.4, */*;q=0", JSON),
        (b"application/problem+json, application/xml", JSON),
        (b"application/json, application/problem+xml;q=0.5", JSON),
        (b"application/problem+json;q=0.5, application/problem+xml", XML),
        (b"text/html", JSON),
    ],
)
def test_a_problem_is_json_unless_its_xml_is_preferred(accepted, media):
    assert media_of_problem(accepted) is media
