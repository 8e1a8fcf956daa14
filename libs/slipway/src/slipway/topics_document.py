"""Writes the topics as the Helm chart reads them, or checks that the file is fresh.

``python -m slipway.topics_document helm/slipway/topics.json [--check]``: a chart can't import the
contracts, and Strimzi's resources must not say anything else than they do.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chassis.documents import write_or_check
from contracts import TOPICS, Topic


def document(topics: Iterable[Topic]) -> list[dict[str, Any]]:
    """Give the facts that a broker must know; ``readers`` null says that every service may read."""
    return [
        {
            "name": topic.name,
            "producer": topic.producer,
            "readers": topic.readers,
            "partitions": topic.partitions,
            # Texts, as Kafka's settings are: Helm reads a JSON number as a float.
            "config": {
                "retention.ms": str(int(topic.retention.total_seconds() * 1000)),
                "segment.ms": str(int(topic.segment.total_seconds() * 1000)),
                "message.timestamp.type": topic.timestamp_type,
            },
        }
        for topic in topics
    ]


def main(arguments: list[str]) -> int:
    """Write or check; answers the exit status."""
    text = json.dumps(document(TOPICS), indent=2, ensure_ascii=False) + "\n"
    return write_or_check(Path(arguments[0]), text, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
