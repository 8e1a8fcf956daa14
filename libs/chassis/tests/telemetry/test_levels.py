"""The log level changes while the process runs, for a time, in cached loggers too."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import structlog
from starlette.applications import Starlette

from chassis.telemetry import configure_logging
from chassis.telemetry.level_routes import PATH, level_routes
from chassis.telemetry.levels import LEVELS
from chassis.telemetry.request_lines import RequestLines

type Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    LEVELS.configure("INFO")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Starlette(routes=level_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://internal") as client:
        yield client


def events(capsys: Capture) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


async def test_a_changed_level_applies_to_loggers_in_use_and_to_libraries(
    capsys: Capture, http: httpx.AsyncClient
):
    configure_logging(process="orders", level="INFO", log_format="json")
    log = structlog.get_logger("a.logger")

    def write() -> None:
        log.debug("detail")
        log.info("line")
        logging.getLogger("a.library").debug("library")

    write()
    assert events(capsys) == ["line"]
    changed = await http.put(PATH, json={"level": "DEBUG", "seconds": 60})
    assert changed.status_code == 200
    assert (changed.json()["level"], changed.json()["setting"]) == ("DEBUG", "INFO")
    capsys.readouterr()
    write()
    assert events(capsys) == ["detail", "line", "library"]
    await http.put(PATH, json={"level": "ERROR"})
    write()
    assert events(capsys) == []
    restored = await http.delete(PATH)
    assert restored.json() == {"level": "INFO", "setting": "INFO", "until": None}
    capsys.readouterr()
    write()
    assert events(capsys) == ["line"]


async def test_a_change_ends_by_itself(http: httpx.AsyncClient):
    LEVELS.configure("WARNING")
    await http.put(PATH, json={"level": "DEBUG", "seconds": 3600})
    end = LEVELS._end
    assert end is not None
    assert 3500 < end.when() - asyncio.get_running_loop().time() <= 3600
    LEVELS.restore()  # what the timer calls
    assert end.cancelled()
    assert (await http.get(PATH)).json()["level"] == "WARNING"


async def test_a_change_that_replaces_another_has_its_own_end(http: httpx.AsyncClient):
    await http.put(PATH, json={"level": "DEBUG", "seconds": 60})
    first = LEVELS._end
    await http.put(PATH, json={"level": "ERROR", "seconds": 60})
    assert first is not None
    assert first.cancelled()


@pytest.mark.parametrize(
    "body",
    [
        '{"level": "LOUD"}',
        '{"level": "DEBUG", "seconds": 0}',
        '{"level": "DEBUG", "for": 1}',
        "",
        "[",
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(http: httpx.AsyncClient, body: str):
    answer = await http.put(PATH, content=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Send JSON such as" in answer.json()["detail"]
    assert LEVELS.change is None


async def test_the_lines_of_proxied_requests_follow_the_level(capsys: Capture):
    configure_logging(process="gateway", level="INFO", log_format="json")
    lines = RequestLines("gateway")

    def write() -> None:
        lines.write(
            request_id="1",
            method="GET",
            route="/api/v1/orders",
            path="/api/v1/orders/7",
            status=200,
            seconds=0.1,
            user_id=None,
            trace=None,
        )
        lines.flush()

    write()
    assert events(capsys) == ["request ended"]
    LEVELS.change_for("WARNING", 60)
    capsys.readouterr()
    write()
    assert events(capsys) == []
