"""The example of each event, which tests of producers and consumers share with the documents."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.base import Event

DIRECTORY = Path(__file__).parents[2] / "examples"


def example_json(event: type[Event]) -> bytes:
    """Give an event's example, as it stands in a message's value.

    Raises:
        FileNotFoundError: it has none; write ``libs/contracts/examples/<type>.json``.
    """
    return (DIRECTORY / f"{event.type}.json").read_bytes()


def example[E: Event](event: type[E], **changes: Any) -> E:  # noqa: ANN401  # any field's value
    """Give an event's example, with some of its fields changed.

    Args:
        event: which.
        changes: values of fields, by name, as the constructor takes them.
    """
    return event.model_validate({**json.loads(example_json(event)), **changes})


def has_shape_of_example(event_type: str, data: Mapping[str, Any]) -> bool:
    """Whether an event's data have the very fields of its example; for producers' tests.

    Args:
        event_type: as in ``ce_type``.
        data: what was published.
    """
    fields: dict[str, Any] = json.loads((DIRECTORY / f"{event_type}.json").read_bytes())
    return data.keys() == fields.keys()
