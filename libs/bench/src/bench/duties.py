"""Peers that do what the gateway does for a request: HAProxy, and nginx with Lua.

Their configurations are in `config/`. `check_duties` voids a row whose peer does less than it says.
"""

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import httpx

from bench.proxies import Cores
from bench.rig import AUDIENCE, Rig
from bench.tools import MODULES, find
from localservers.ports import free_port
from slipway.errors import SlipwayError
from slipway.local.program import Program, ProgramSpec, inherited_environment
from slipway.settings import HOST

LIMIT = 500
"""Requests of one user in a second: the gateway's default."""

NGINX_PACKAGES = ("nginx", *MODULES)
_CONFIG = Path(__file__).parent / "config"
_MODULES_DIRECTORY = "/usr/lib/nginx/modules"
_ANSWER_SECONDS = 30
_LOG_SECONDS = 10
_POLL_SECONDS = 0.1


async def start_haproxy_with_duties(
    rig: Rig, upstream: str, cores: Cores, *, limit: int = LIMIT
) -> Program:
    """Start HAProxy with one thread and the gateway's duties, in front of an address."""
    config, place = await _configure(rig, "haproxy-duties.cfg", upstream, limit)
    return await _run(rig, (find("haproxy"), "-db", "-f", config), place, cores)


async def start_nginx_with_duties(
    rig: Rig, upstream: str, cores: Cores, *, limit: int = LIMIT
) -> Program:
    """Start nginx with one worker process and the gateway's duties, in front of an address."""
    config, place = await _configure(rig, "nginx-duties.conf", upstream, limit)
    return await _run(rig, (find("nginx"), "-e", "stderr", "-c", config), place, cores)


async def _configure(rig: Rig, name: str, upstream: str, limit: int) -> tuple[Path, str]:
    """Fill in a configuration; return its path and the address that it listens at."""
    place = f"{HOST}:{free_port()}"
    values = {
        "address": place,
        "audience": AUDIENCE,
        "directory": str(rig.state.servers),
        "issuer": rig.issuer,
        "key": str(await rig.public_key()),
        "limit": str(limit),
        "modules": _MODULES_DIRECTORY,
        "scripts": str(_CONFIG),
        "upstream": upstream.partition("//")[2],
    }
    text = await asyncio.to_thread((_CONFIG / name).read_text)
    for word, value in values.items():
        text = text.replace(f"@{word}@", value)
    return await rig.write(name, text), place


async def _run(rig: Rig, command: tuple[str | Path, ...], place: str, cores: Cores) -> Program:
    address = f"http://{place}"
    program, *arguments = map(str, command)
    spec = ProgramSpec(
        name=f"{Path(program).name}-with-duties",
        command=(program, *arguments),
        environment=inherited_environment(),
        directory=rig.root,
        address=address,
        ready_url=f"{address}/ready",
    )
    return await rig.run(spec, core=cores.proxy)


async def check_duties(rig: Rig, program: Program, path: str) -> None:
    """Check that a proxy accepts a token, rejects others and logs requests.

    Raises:
        SlipwayError: it does less, so a comparison with it would prove nothing.
    """
    user, other = await rig.users(2, "orders:read")
    head, _, signature = user.token.split(".")
    forged = f"{head}.{other.token.split('.')[1]}.{signature}"
    expected = (
        ("a token", f"Bearer {user.token}", HTTPStatus.OK),
        ("no token", "", HTTPStatus.UNAUTHORIZED),
        ("a token without a signature", f"Bearer {head}.e30.", HTTPStatus.UNAUTHORIZED),
        ("the signature of another token", f"Bearer {forged}", HTTPStatus.UNAUTHORIZED),
    )
    async with httpx.AsyncClient(
        base_url=program.spec.address, trust_env=False, timeout=_ANSWER_SECONDS
    ) as client:
        for sent, field, status in expected:
            answer = await client.get(path, headers={"Authorization": field} if field else {})
            if answer.status_code != status:
                deed = f"answered {sent} with {answer.status_code}, not {status:d}"
                raise _neglected(program, deed)
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            while path not in await asyncio.to_thread(_logged_paths, program.log_file):  # noqa: ASYNC110 - no event says when a buffer is written
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise _neglected(program, "wrote no log line of JSON for a request") from error


def _neglected(program: Program, deed: str) -> SlipwayError:
    return SlipwayError(
        f"{program.name} {deed}, so it does not do the gateway's duties and is no peer. See its "
        f"configuration in {_CONFIG}, and its log {program.log_file}."
    )


def _logged_paths(log: Path) -> set[str]:
    paths = set()
    for line in log.read_text().splitlines():
        with suppress(ValueError, AttributeError):  # a line at the start is no JSON
            paths.add(json.loads(line).get("path"))
    return paths
