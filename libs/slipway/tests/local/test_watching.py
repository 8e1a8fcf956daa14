"""`slipway status` elsewhere: with a token, over TLS, of a whole cluster, and again and again."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from slipway.local import watching
from slipway.local.watching import status_app
from testkit.certificates import Certificates

TOKEN = "secret-token"
PODS = "/api/v1/namespaces/shop/pods"
READY = "/healthz/ready"
METRICS = 'process_release{version="1.2.3"} 1\n'
LIST = f"{PODS}?labelSelector=app.kubernetes.io/part-of%3Dslipway"

type Status = Callable[..., Result]


class Server(ThreadingHTTPServer):
    """Responds to GET by path, to whoever has the token, if there is one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        self.token: str | None = None
        self.answers: dict[str, tuple[int, str]] = {READY: (200, "{}"), "/metrics": (200, METRICS)}
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Write nothing: a client that distrusts the certificate ends the connection."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        given = self.headers["Authorization"]
        self.server.tokens.add(given)
        status, body = self.server.answers.get(self.path, (404, "nothing here"))
        if self.server.token is not None and given != f"Bearer {self.server.token}":
            status, body = 401, "who is it?"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serving(Server())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def secured(certificates: Certificates) -> Iterator[Server]:
    server = Server()
    context = certificates.server("127.0.0.1")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme, server.token = "https", TOKEN
    yield from serving(server)


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Status:
    monkeypatch.setattr(watching._console, "width", 400)

    def invoked(*arguments: str | Path, token: str | None = None) -> Result:
        environment = {"SLIPWAY_STATUS_TOKEN": token}
        return CliRunner().invoke(status_app, list(map(str, arguments)), env=environment)

    return invoked


def health(result: Result) -> str:
    (process,) = json.loads(result.stdout)["processes"]
    text: str = process["health"]
    return text


def test_a_token_from_the_environment_or_a_file_is_sent_over_tls(
    status: Status, secured: Server, certificates: Certificates, tmp_path: Path
):
    trusted = (
        "--json",
        "--at",
        f"orders={secured.url}",
        "--ca-file",
        certificates.authority_file(),
    )
    assert health(status(*trusted, token=TOKEN)) == "ok"
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    result = status(*trusted, "--token-file", file, token="another")
    assert (health(result), result.exit_code) == ("ok", 0)
    assert secured.tokens == {f"Bearer {TOKEN}"}
    assert json.loads(result.stdout)["processes"][0]["figures"]["release"] == "1.2.3"


def test_what_is_wrong_with_a_token_is_said(
    status: Status, secured: Server, certificates: Certificates
):
    trusted = (
        "--json",
        "--at",
        f"orders={secured.url}",
        "--ca-file",
        certificates.authority_file(),
    )
    assert "401: it asks for a token. Give one: --token-file" in health(status(*trusted))
    wrong = status(*trusted, token="wrong")
    assert "401: the token is not valid" in health(wrong)
    assert wrong.exit_code == 1
    secured.answers[READY] = (403, '{"message": "pods is forbidden"}')
    assert "403: the token may not read this: pods is forbidden" in health(
        status(*trusted, token=TOKEN)
    )


def test_a_certificate_that_is_not_trusted_is_named_with_the_option(
    status: Status, secured: Server
):
    found = health(status("--json", "--at", f"orders={secured.url}", token=TOKEN))
    assert "the certificate is not trusted" in found
    assert "--ca-file" in found
    assert secured.tokens == set()


def test_an_address_that_nobody_serves_is_named(status: Status):
    assert "https://127.0.0.1:1/healthz/ready: unavailable: " in health(
        status("--json", "--at", "orders=https://127.0.0.1:1")
    )


def test_a_token_is_not_sent_without_tls_to_another_machine(status: Status, server: Server):
    found = health(status("--json", "--at", "orders=http://192.0.2.1:9000", token=TOKEN))
    assert "The token is not sent" in found
    assert health(status("--json", "--at", f"orders={server.url}", token=TOKEN)) == "ok"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--token-file", "missing"), "The token file missing can't be read"),
        (("--token-file", "empty"), "The token file empty is empty"),
        (("--ca-file", "empty"), "The authority's file empty can't be used"),
        (("--ca-file", "missing"), "The authority's file missing can't be used"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(
    status: Status,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, str],
    text: str,
):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    result = status("--at", "orders=https://127.0.0.1:1", *options)
    assert (result.exit_code, text in result.output) == (1, True)


def pod(name: str, *ports: str) -> dict[str, Any]:
    listed = [{"name": port, "containerPort": 9000} for port in ports]
    return {"metadata": {"name": name}, "spec": {"containers": [{"ports": listed}, {}]}}


def test_all_pods_of_a_cluster_are_read_through_its_api_server(
    status: Status, secured: Server, certificates: Certificates
):
    pods = [pod("orders-b", "public", "internal"), pod("gateway-a", "internal"), pod("topics-job")]
    secured.answers = {
        LIST: (200, json.dumps({"items": pods})),
        f"{PODS}/gateway-a:9000/proxy{READY}": (200, "{}"),
        f"{PODS}/gateway-a:9000/proxy/metrics": (200, METRICS),
        f"{PODS}/orders-b:9000/proxy{READY}": (503, "no endpoints"),
    }
    cluster = ("--cluster", secured.url, "--ca-file", certificates.authority_file())
    result = status("--json", *cluster, "--namespace", "shop", token=TOKEN)
    gateway, orders = json.loads(result.stdout)["processes"]
    assert (gateway["name"], gateway["health"]) == ("gateway-a", "ok")
    assert gateway["figures"]["release"] == "1.2.3"
    assert "503 no endpoints" in orders["health"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((200, '{"items": []}'), "No pod of Slipway is in the namespace shop"),
        ((200, "<html>"), "--cluster must be the API server of Kubernetes"),
        ((403, '{"message": "may not list"}'), "403: the token may not read this: may not list"),
    ],
)
def test_a_cluster_that_cannot_be_read_is_a_sentence(
    status: Status, server: Server, answer: tuple[int, str], text: str
):
    server.answers = {LIST: answer}
    result = status("--cluster", server.url, "--namespace", "shop")
    assert (result.exit_code, text in result.output) == (1, True)
    assert "Traceback" not in result.output


def test_it_is_shown_again_until_ctrl_c(
    status: Status, server: Server, monkeypatch: pytest.MonkeyPatch
):
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        server.answers[READY] = (503, "draining")

    monkeypatch.setattr("slipway.local.watching.time.sleep", wait)
    result = status("--watch", "--at", f"orders={server.url}")
    first, second, rest = result.output.split("in all")
    assert ("draining" in first, "503 draining" in second, "draining" in rest) == (
        False,
        True,
        False,
    )
    assert waits == [2.0, 2.0]
    assert (result.exit_code, "Traceback" in result.output) == (1, False)


def test_nothing_is_shown_again_without_being_asked_for(
    status: Status, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("slipway.local.watching.time.sleep", pytest.fail)
    assert status("--at", f"orders={server.url}").exit_code == 0
