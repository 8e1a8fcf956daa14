"""What may be called, and what a receiver may do instead of responding."""

import asyncio
import ssl
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network

import pytest

from notifications.receivers import service
from notifications.receivers.errors import Fault, ReceiverError, UnfitUrlError
from notifications.receivers.models import CallRules
from notifications.receivers.service import open_receivers

from .receiver import endless, never, raw, receiving, status

LOCAL = CallRules(insecure=True, networks=[ip_network("127.0.0.0/8")])
OPEN = CallRules(insecure=True)


@asynccontextmanager
async def opened(rules=LOCAL, *, look_up=None, tls=None):
    tls = tls or ssl.create_default_context()
    async with open_receivers(rules=rules, tls=tls, user_agent="x", look_up=look_up) as receivers:
        yield receivers


async def fault_of(url, rules=LOCAL, **given):
    """Send a request that gets no valid response; return why."""
    async with opened(rules, **given) as receivers:
        with pytest.raises(ReceiverError) as caught:
            await receivers.post(url, body=b"{}", headers={})
    return caught.value.fault


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",  # NAT64 of 10.0.0.1
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2001::1",  # Teredo
        "2001:db8::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    assert not OPEN.allows(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(UnfitUrlError):
        OPEN.check_url(f"https://{host}/")


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_a_public_address_is_allowed(address):
    assert OPEN.allows(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https:///x",
        "https://",
        "example.com/x",
        "//example.com/x",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://exämple.com/",
        "https://example.com\\@10.0.0.1/",
        "https://example.com/\r\nX: y",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://[fe80::1%25eth0]/",
        f"https://example.com/{'x' * 2000}",
    ],
)
def test_a_url_that_breaks_a_rule_is_refused(url):
    with pytest.raises(UnfitUrlError):
        CallRules().check_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?a=b", "https://example.com:8443/x", "https://a.b.example/"]
)
def test_other_urls_are_kept_as_they_are(url):
    assert CallRules().check_url(url) == url


async def test_a_name_with_a_private_address_among_public_ones_is_refused():
    url = "http://rebound.example:8080/"
    found = await fault_of(url, OPEN, look_up=lambda *_: ["93.184.215.14", "10.0.0.1"])
    assert found is Fault.ADDRESS_REFUSED


async def test_a_name_of_this_machine_is_refused():
    async with receiving() as receiver:
        url = f"http://localhost:{receiver.port}/"
        assert await fault_of(url, OPEN) is Fault.ADDRESS_REFUSED
        assert receiver.connections == 0


async def test_between_the_check_of_a_name_and_the_connection_the_name_may_be_bound_anew():
    """The connection goes to the address that was checked, with no second look-up."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    async with receiving() as receiver, opened(look_up=lambda *_: answers.pop(0)) as receivers:
        url = f"http://rebound.example:{receiver.port}/"
        assert (await receivers.post(url, body=b"{}", headers={})).accepted
        [call] = receiver.calls
    assert call.headers["host"] == f"rebound.example:{receiver.port}"
    assert answers == [["10.0.0.1"]]


async def test_between_the_resolver_and_the_connection_an_unchecked_address_is_refused(monkeypatch):
    """The socket is the last place to check: without it, this would connect."""
    monkeypatch.setattr(service._CheckedResolver, "resolve", _resolve_unchecked)
    async with receiving() as receiver:
        url = f"http://unchecked.example:{receiver.port}/"
        assert await fault_of(url, OPEN) is Fault.ADDRESS_REFUSED
        assert receiver.connections == 0


async def _resolve_unchecked(_self, host, port=0, _family=0, **_):
    return [
        {"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 4}
    ]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(code):
    async with receiving() as inner, receiving() as receiver, opened() as receivers:
        receiver.respond = status(code, location=inner.url)
        answer = await receivers.post(receiver.url, body=b"{}", headers={})
        assert (answer.status, answer.accepted) == (code, False)
        assert inner.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    async with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        async with opened() as receivers:
            assert (await receivers.post(receiver.url, body=b"{}", headers={})).accepted
        assert proxy.connections == 0


async def _drip(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)  # the receiver's pace


async def _interim(_, writer):
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize("respond", [never, _drip, _interim])
async def test_a_receiver_that_never_ends_is_given_up_after_the_time_limit(respond, monkeypatch):
    monkeypatch.setattr(service, "SECONDS", 0.3)
    async with receiving() as receiver:
        receiver.respond = respond
        assert await fault_of(receiver.url) is Fault.TIMEOUT


@pytest.mark.parametrize(
    ("respond", "fault"),
    [
        (raw(b"", close=True), Fault.CONNECTION_FAILED),
        (raw(b"garbage\r\n\r\n"), Fault.INVALID_RESPONSE),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", close=True),
            Fault.INVALID_RESPONSE,
        ),
        (raw(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 20_000 + b"\r\n\r\n"), Fault.INVALID_RESPONSE),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"A: x\r\n" * 1000 + b"\r\n"), Fault.INVALID_RESPONSE),
        (
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            Fault.INVALID_RESPONSE,
        ),
    ],
)
async def test_a_response_that_is_not_valid_is_a_failure(respond, fault):
    async with receiving() as receiver:
        receiver.respond = respond
        assert await fault_of(receiver.url) is fault


async def test_only_the_beginning_of_an_endless_body_is_read():
    async with receiving() as receiver, opened() as receivers:
        receiver.respond = endless
        answer = await receivers.post(receiver.url, body=b"{}", headers={})
        assert (answer.status, answer.excerpt) == (200, "x" * service.EXCERPT_CHARACTERS)
        receiver.respond = status(204)
        assert (await receivers.post(receiver.url, body=b"{}", headers={})).accepted
        assert receiver.connections == 2  # the rest of the body came on the first, which is closed


async def test_a_compressed_body_is_not_decompressed():
    async with receiving() as receiver, opened() as receivers:
        receiver.respond = status(200, body=b"\x1f\x8b bomb", content_encoding="gzip")
        answer = await receivers.post(receiver.url, body=b"{}", headers={})
        assert answer.excerpt.endswith(" bomb")
        assert receiver.calls[0].headers["accept-encoding"] == "identity"


async def test_cookies_are_not_kept_and_connections_are():
    async with receiving() as receiver, opened() as receivers:
        receiver.respond = status(200, set_cookie="a=b")
        for _ in range(3):
            await receivers.post(receiver.url, body=b"{}", headers={})
        assert receiver.connections == 1
        assert all("cookie" not in call.headers for call in receiver.calls)


async def test_nobody_listens_or_nobody_knows_the_name():
    async with receiving() as receiver:
        gone = receiver.url
    assert await fault_of(gone) is Fault.CONNECTION_FAILED

    def unknown(*_):
        raise OSError

    assert await fault_of("http://nowhere.example:8080/", look_up=unknown) is Fault.UNKNOWN_HOST


async def test_names_whose_server_is_silent_do_not_block_other_names(monkeypatch):
    """The look-ups have threads of their own, more than there are in the loop's pool."""
    monkeypatch.setattr(service, "SECONDS", 0.2)
    silent = threading.Event()

    def look_up(host, _):
        if host != "quick.example":
            silent.wait(30)
        return ["127.0.0.1"]

    async with receiving() as receiver, opened(look_up=look_up) as receivers:
        urls = [f"http://silent{n}.example:{receiver.port}/" for n in range(40)]
        calls = [receivers.post(url, body=b"", headers={}) for url in urls]
        results = await asyncio.gather(*calls, return_exceptions=True)
        faults = {result.fault for result in results if isinstance(result, ReceiverError)}
        assert (faults, len(results)) == ({Fault.TIMEOUT}, 40)
        monkeypatch.setattr(service, "SECONDS", 10)
        url = f"http://quick.example:{receiver.port}/"
        assert (await receivers.post(url, body=b"", headers={})).accepted
        silent.set()


async def test_the_certificate_must_be_of_the_name_and_of_a_known_authority(certificates):
    async with receiving(certificates.server("good.example")) as receiver:
        good, bad = (f"https://{name}.example:{receiver.port}/" for name in ("good", "bad"))
        given = {"look_up": lambda *_: ["127.0.0.1"]}
        async with opened(tls=certificates.client(), **given) as receivers:
            assert (await receivers.post(good, body=b"{}", headers={})).accepted
        assert await fault_of(bad, tls=certificates.client(), **given) is Fault.TLS_FAILED
        assert await fault_of(good, **given) is Fault.TLS_FAILED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("9" * 50, 999_999),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Fri, 31 Dec 9999 23:59:59 -0000", None),
    ],
)
async def test_retry_after_in_seconds(text, seconds):
    async with receiving() as receiver, opened() as receivers:
        receiver.respond = status(503, retry_after=text)
        answer = await receivers.post(receiver.url, body=b"{}", headers={})
        assert answer.retry_after == (None if seconds is None else timedelta(seconds=seconds))


async def test_retry_after_as_a_date():
    at = datetime.now(UTC) + timedelta(minutes=5)
    async with receiving() as receiver, opened() as receivers:
        receiver.respond = status(503, retry_after=format_datetime(at, usegmt=True))
        answer = await receivers.post(receiver.url, body=b"{}", headers={})
        assert timedelta(minutes=4) < answer.retry_after <= timedelta(minutes=5)
