"""Writes the documents of the installed services, or checks that they are up to date.

``python -m chassis.documents [--check] [--settings MODULE:CLASS …]``, at the top of the repository.
``--settings`` names the settings classes of processes that do not belong to a service.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from chassis.documents.asyncapi import facts_of
from chassis.documents.files import CHECK, write_or_check
from chassis.documents.openapi import openapi_text
from chassis.documents.settings import settings_text
from chassis.http.documentation import MissingExampleError
from chassis.messaging.asyncapi.document import as_text, asyncapi_document
from chassis.messaging.asyncapi.page import page_of
from chassis.messaging.consuming.subscriptions import UnknownEventTypeError
from chassis.service import Service, installed_services

_CONTRACTS = Path("libs/contracts")
_SERVICES = Path("services")
_DOCS = Path("docs")
# The gateway serves its own copy, which is part of its package.
_SERVED = Path("services/gateway/src/gateway/asyncapi.json")


class IncompleteError(Exception):
    """A service's declaration lacks what a document needs."""


def documents_of(
    services: Sequence[Service[Any]], others: Sequence[type[BaseSettings]]
) -> Iterator[tuple[Path, str]]:
    """Yield each document's file and text, or raise IncompleteError."""
    facts = facts_of(_CONTRACTS, services)
    for service in services:
        with _named(service):
            for event in facts.events:
                if event.topic.name in service.subscriptions.topics:
                    service.subscriptions.find(event.type)
            text = openapi_text(service)
        yield _SERVICES / service.name / "openapi.json", text
    events = asyncapi_document(facts)
    yield _DOCS / "asyncapi.json", as_text(events)
    yield _SERVED, as_text(events)
    yield _DOCS / "events.md", page_of(events)
    own = [service.api.settings for service in services]
    yield Path(".env.example"), settings_text([*others, *own])


@contextmanager
def _named(service: Service[Any]) -> Iterator[None]:
    """Name the service whose declaration lacks something, in place of a traceback."""
    try:
        yield
    except (MissingExampleError, UnknownEventTypeError) as error:
        message = f"services/{service.name}: {error}"
        raise IncompleteError(message) from error


def _settings(place: str) -> type[BaseSettings]:
    module, _, name = place.partition(":")
    kind: type[BaseSettings] = getattr(importlib.import_module(module), name)
    return kind


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the documents; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m chassis.documents", description=__doc__)
    parser.add_argument(CHECK, action="store_true", help="write nothing; exit 1 if one is stale")
    parser.add_argument("--settings", nargs="*", default=[], type=_settings, metavar="MODULE:CLASS")
    wanted = parser.parse_args(arguments)
    mode = [CHECK] if wanted.check else []
    documents = documents_of(installed_services(), wanted.settings)
    try:
        return max(write_or_check(file, text, mode) for file, text in documents)
    except IncompleteError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
