"""A consumer of the events, written from the AsyncAPI document alone: see ../README.md."""

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaConnectionError


class ContractError(Exception):
    """Raised if a message does not conform to the document."""


class StartError(Exception):
    """Raised if this program was started with something that can't be used."""


class Contract:
    """The part of the document that describes one topic.

    Args:
        document: the AsyncAPI document.
        topic: without the prefix of the environment.
    """

    def __init__(self, document: dict[str, Any], topic: str) -> None:
        self._document = document
        channels: dict[str, Any] = document.get("channels", {})
        if topic not in channels:
            text = f"the document has no topic {topic!r}. It has: {', '.join(sorted(channels))}"
            raise StartError(text)
        channel = channels[topic]
        self._messages = {
            name: self._resolve(reference["$ref"])
            for name, reference in channel["messages"].items()
        }

    def _resolve(self, reference: str) -> dict[str, Any]:
        value: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            value = value[part]
        found: dict[str, Any] = value
        return found

    def knows(self, event_type: str) -> bool:
        """Return whether the document lists this type for the topic."""
        return event_type in self._messages

    def is_snapshot(self, event_type: str) -> bool:
        """Return whether events of this type repeat the present state instead of a change."""
        return bool(self._messages[event_type]["x-snapshot"])

    def check(self, event_type: str, headers: dict[str, str], data: object) -> None:
        """Raise ContractError if headers or data do not conform to their schemas."""
        message = self._messages[event_type]
        for what, schema, value in (
            ("headers", message["headers"], headers),
            ("data", message["payload"], data),
        ):
            for error in self._validator(schema).iter_errors(value):
                text = f"the {what} of {event_type} don't fit: {error.json_path} {error.message}"
                raise ContractError(text)

    def _validator(self, schema: dict[str, Any]) -> jsonschema.Draft7Validator:
        # References in the schema point to the document's components.
        whole = {"allOf": [schema], "components": self._document["components"]}
        return jsonschema.Draft7Validator(whole, format_checker=jsonschema.FormatChecker())


@dataclass
class Reader:
    """Parses messages one by one, and remembers which events it has seen."""

    contract: Contract
    seen: set[tuple[str, str]] = field(default_factory=set)
    sequences: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def read(self, record: ConsumerRecord) -> Iterator[dict[str, Any]]:
        """Yield the event of a message, unless it is no event, a duplicate, or of unknown type."""
        headers = {name: value.decode() for name, value in record.headers}
        event_type = headers.get("ce_type")
        if record.value is None or event_type is None or not self.contract.knows(event_type):
            return
        data = json.loads(record.value)
        self.contract.check(event_type, headers, data)
        identity = (headers["ce_source"], headers["ce_id"])
        if identity in self.seen:
            return
        self.seen.add(identity)
        if not self._is_new(event_type, headers):
            return
        yield {
            "id": headers["ce_id"],
            "type": event_type,
            "subject": headers["ce_subject"],
            "sequence": int(headers["ce_sequence"]) if "ce_sequence" in headers else None,
            "data": data,
        }

    def _is_new(self, event_type: str, headers: dict[str, str]) -> bool:
        if "ce_sequence" not in headers:
            return True
        subject = (headers["ce_source"], headers["ce_subject"])
        sequence = int(headers["ce_sequence"])
        first, last = self.sequences.get(subject, (sequence, 0))
        if self.contract.is_snapshot(event_type) and sequence <= last:
            return False
        if sequence < first:
            # Events of a subject come in order. So it was read before this program was started, and
            # is a duplicate, although its id is no longer known.
            return False
        if sequence < last:
            text = f"{event_type} {headers['ce_id']}: sequence {sequence} comes after {last}"
            raise ContractError(text)
        self.sequences[subject] = first, sequence
        return True


async def consume(arguments: argparse.Namespace) -> None:
    """Print each event, and commit its offset afterwards."""
    reader = Reader(Contract(load(arguments.asyncapi), arguments.topic))
    consumer = AIOKafkaConsumer(
        arguments.prefix + arguments.topic,
        bootstrap_servers=arguments.bootstrap_servers,
        group_id=arguments.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        taken = 0
        async for record in consumer:
            for event in reader.read(record):
                print(json.dumps(event, ensure_ascii=False), flush=True)
            await consumer.commit()
            taken += 1
            if taken == arguments.count:
                return
    except KafkaConnectionError as error:
        text = f"Kafka at {arguments.bootstrap_servers} can't be reached: {error}"
        raise StartError(text) from error
    finally:
        await consumer.stop()


def load(place: str) -> dict[str, Any]:
    """Read the document from a file or from a running system."""
    try:
        if place.startswith(("http://", "https://")):
            with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310  # the line above
                text = answer.read()
        else:
            text = Path(place).read_bytes()
        document = json.loads(text)
    except (OSError, ValueError) as error:  # ValueError: it is no JSON
        text = f"the document {place} can't be read: {error}"
        raise StartError(text) from error
    if not isinstance(document, dict):
        text = f"{place} is not an AsyncAPI document"
        raise StartError(text)
    return document


def main() -> None:
    """Read the arguments, and consume until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asyncapi", required=True, help="a file, or a URL")
    parser.add_argument("--bootstrap-servers", required=True, help="host:port of Kafka")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True, help="the consumer group")
    parser.add_argument("--prefix", default="", help="the prefix of the environment's topics")
    parser.add_argument("--count", type=int, default=0, help="stop after this many messages")
    try:
        asyncio.run(consume(parser.parse_args()))
    except ContractError as error:
        sys.exit(f"the contract is broken: {error}")
    except StartError as error:
        sys.exit(f"consumer: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
