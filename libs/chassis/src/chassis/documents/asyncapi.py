"""The facts of the AsyncAPI document: what contracts declare and what services consume."""

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chassis.messaging.asyncapi.document import Facts, Json
from chassis.service import Service


def _json_files(directory: Path) -> dict[str, Json]:
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in sorted(directory.glob("*.json"))
    }


def facts_of(contracts: Path, services: Iterable[Service[Any]]) -> Facts:
    """Return what the AsyncAPI document is made of.

    Args:
        contracts: the folder of the package of that name, which declares ``TOPICS`` and ``EVENTS``;
            it holds ``schemas/`` and ``examples/``.
        services: the services whose subscriptions are described.
    """
    services = list(services)
    declared = importlib.import_module(contracts.name)
    return Facts(
        title="Slipway's events",
        topics=declared.TOPICS,
        events=declared.EVENTS,
        schemas=_json_files(contracts / "schemas"),
        examples=_json_files(contracts / "examples"),
        subscriptions={service.name: service.subscriptions for service in services},
        sockets=[socket for service in services for socket in service.sockets],
    )
