"""This machine is reached without a proxy, by the rules of each library that obeys proxies."""

import urllib.request

import httpx
import pytest
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from chassis.loopback import LOOPBACK, loopback_exempted

OWN = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        (None, None, (OWN, OWN)),
        ("", "", (OWN, OWN)),
        ("corp.example", None, (f"corp.example,{OWN}",) * 2),
        (None, "corp.example", (f"corp.example,{OWN}",) * 2),
        ("one.example", "two.example", (f"one.example,{OWN}", f"two.example,{OWN}")),
        (" a , b,, ", None, (f"a,b,{OWN}",) * 2),
        ("::1,10.0.0.0/8,localhost", None, ("::1,10.0.0.0/8,localhost,127.0.0.1",) * 2),
        (OWN, OWN, (OWN, OWN)),
        ("*", None, ("*", "*")),
        ("a,*", None, ("*", "*")),
        ("*", "a", ("*", f"a,{OWN}")),
    ],
)
def test_existing_exemptions_are_kept(upper, lower, expected):
    given = {"NO_PROXY": upper, "no_proxy": lower}
    environment = {name: value for name, value in given.items() if value is not None}
    exempted = loopback_exempted(environment)
    assert (exempted["NO_PROXY"], exempted["no_proxy"]) == expected
    assert loopback_exempted(environment | exempted) == exempted


@pytest.fixture(params=[{}, {"NO_PROXY": "corp.example"}, {"no_proxy": "corp.example"}])
def proxied(request, monkeypatch):
    """The environment of a process with proxy settings."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name, value in (request.param | loopback_exempted(request.param)).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("host", LOOPBACK)
async def test_libraries_reach_this_machine_directly(host):
    """Each library has its own rules. The exporter of spans is tested with the processes."""
    address = f"[{host}]" if ":" in host else host
    assert urllib.request.proxy_bypass(host)
    assert get_proxy(parse_uri(f"ws://{address}:8000/ws")) is None
    with pytest.raises(httpx.ConnectError) as refused:
        async with httpx.AsyncClient() as client:
            await client.get(f"http://{address}:1/")
    assert "proxy" not in repr(refused.value).lower()


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize("host", ["10.0.0.1", "other.example", "localhost.other.example"])
def test_libraries_reach_other_machines_through_the_proxy(host):
    assert not urllib.request.proxy_bypass(host)
    assert get_proxy(parse_uri(f"ws://{host}:8000/ws")) == "http://127.0.0.1:9"
