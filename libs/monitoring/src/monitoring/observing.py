"""Watch a running system with a real Prometheus, and ask it what every panel and alert asks."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import yaml

from chassis.installed import service_names
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import Panel
from slipway.errors import SlipwayError
from slipway.state import Entry

_SCRAPE_SECONDS = 2
_INTERVAL = "[30s]"
_START_SECONDS = 20.0
_WITHOUT_METRICS = frozenset({"traces"})  # the trace sink, which only development has


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What Prometheus knows at the end of a run.

    Attributes:
        empty: the panels without data, as ``dashboard / panel: query``.
        firing: the alerts that fire.
        down: the processes that could not be scraped.
    """

    empty: Sequence[str]
    firing: Sequence[str]
    down: Sequence[str]


@asynccontextmanager
async def prometheus(processes: Iterable[Entry], *, rules: Path, port: int) -> AsyncIterator[str]:
    """Run a Prometheus that scrapes the processes; yield its address.

    Args:
        processes: processes of a local system. One without a readiness probe is not scraped.
        rules: the directory of the files of rules.
        port: the port of loopback that it listens on.

    Raises:
        SlipwayError: there is no Prometheus, or it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="prometheus-") as directory:
        settings = Path(directory) / "prometheus.yaml"
        settings.write_text(yaml.safe_dump(_settings(processes, rules)), encoding="utf-8")
        try:
            server = await asyncio.create_subprocess_exec(
                "prometheus",
                f"--config.file={settings}",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            )
        except FileNotFoundError as error:
            message = "prometheus is missing: sudo apt-get install prometheus"
            raise SlipwayError(message) from error
        try:
            url = f"http://127.0.0.1:{port}"
            await _until_ready(url)
            yield url
        finally:
            server.terminate()
            await server.wait()


async def observe(url: str) -> Observed:
    """Run the query of every panel, and list the alerts that fire.

    Args:
        url: the address of Prometheus.
    """
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        panels = [
            (dashboard.title, panel)
            for dashboard in DASHBOARDS
            if not dashboard.unobserved
            for row in dashboard.rows
            for panel in row.panels
        ]
        empty = [text for title, panel in panels for text in await _empty(http, title, panel)]
        down = await _results(http, "up == 0")
    return Observed(
        empty=empty,
        firing=[json.dumps(labels) for labels in await firing_alerts(url)],
        down=[str(result["metric"]["job"]) for result in down],
    )


async def firing_alerts(url: str) -> list[dict[str, str]]:
    """Return the labels of the alerts that fire now.

    Args:
        url: the address of Prometheus.
    """
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        results = await _results(http, 'ALERTS{alertstate="firing"}')
    return [result["metric"] for result in results]


async def has_data(url: str, query: str) -> bool:
    """Return whether a query has a result now.

    Args:
        url: the address of Prometheus.
        query: in PromQL.
    """
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        return bool(await _results(http, query))


async def _empty(http: httpx.AsyncClient, title: str, panel: Panel) -> list[str]:
    """Return the queries of a panel that have no data for any service."""
    if panel.empty:
        return []
    return [
        f"{title} / {panel.title}: {query.expr}"
        for query in panel.queries
        if not [result for text in _texts(query.expr) for result in await _results(http, text)]
    ]


def _texts(expr: str) -> list[str]:
    """Return the queries that Grafana would send: one for each value of `$job`."""
    text = expr.replace("[$__rate_interval]", _INTERVAL)
    if "$job" not in text:
        return [text]
    return [text.replace("$job", job) for job in service_names()]


async def _results(http: httpx.AsyncClient, query: str) -> list[dict[str, dict[str, str]]]:
    response = await http.get("/api/v1/query", params={"query": query})
    if response.is_error:
        message = f"Prometheus refuses the query {query}: {response.text}"
        raise SlipwayError(message)
    results: list[dict[str, dict[str, str]]] = response.json()["data"]["result"]
    return results


async def _until_ready(url: str) -> None:
    try:
        async with (
            asyncio.timeout(_START_SECONDS),
            httpx.AsyncClient(base_url=url, trust_env=False) as http,
        ):
            while True:
                if await _is_ready(http):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        message = f"Prometheus was not ready within {_START_SECONDS:g} s. Its log is above."
        raise SlipwayError(message) from error


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/-/ready")).is_success
    except httpx.TransportError:
        return False


def _settings(processes: Iterable[Entry], rules: Path) -> dict[str, object]:
    """Return the settings: one job for each process, named after it."""
    return {
        "global": {
            "scrape_interval": f"{_SCRAPE_SECONDS}s",
            "evaluation_interval": f"{_SCRAPE_SECONDS}s",
        },
        "rule_files": [f"{rules.absolute()}/*.yaml"],
        "scrape_configs": [
            {
                "job_name": process.name,
                "static_configs": [{"targets": [urlsplit(process.ready_url).netloc]}],
            }
            for process in processes
            if process.ready_url is not None and process.name not in _WITHOUT_METRICS
        ],
    }
