"""Writes the topics for the Helm chart, or checks that the file is up to date.

``python -m slipway.operate.topics_document helm/slipway/topics.json [--check]``: a chart can't
import the contracts, and Strimzi's resources must agree with them.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chassis.documents import write_or_check
from contracts import TOPICS, Topic
from slipway.operate.topics import declared_settings


def document(topics: Iterable[Topic]) -> list[dict[str, Any]]:
    """Return the topics for the chart; ``readers`` null means that every service may read."""
    return [
        {
            "name": topic.name,
            "producer": topic.producer,
            "readers": topic.readers,
            "partitions": topic.partitions,
            # Strings, like Kafka's settings: Helm parses a JSON number as a float.
            "config": declared_settings(topic),
        }
        for topic in topics
    ]


def main(arguments: list[str]) -> int:
    """Write or check the file; return the exit status."""
    text = json.dumps(document(TOPICS), indent=2, ensure_ascii=False) + "\n"
    return write_or_check(Path(arguments[0]), text, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
