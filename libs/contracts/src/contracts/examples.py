"""The example of each event, shared by the documents and the tests of producers and consumers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.base import Event

DIRECTORY = Path(__file__).parents[2] / "examples"


def example_json(event: type[Event]) -> bytes:
    """Return an event's example, as the value of a message.

    Raises:
        FileNotFoundError: there is none; write ``libs/contracts/examples/<type>.json``.
    """
    return (DIRECTORY / f"{event.type}.json").read_bytes()


def example[E: Event](event: type[E], **changes: Any) -> E:  # noqa: ANN401  # any field's value
    """Return an event's example, with some of its fields changed.

    Args:
        event: the event's class.
        changes: values of fields, by name, as the constructor accepts them.
    """
    return event.model_validate({**json.loads(example_json(event)), **changes})


def has_shape_of_example(event_type: str, data: Mapping[str, Any]) -> bool:
    """Return whether an event's data have exactly the fields of its example; for producers' tests.

    Args:
        event_type: as in ``ce_type``.
        data: the published data.
    """
    fields: dict[str, Any] = json.loads((DIRECTORY / f"{event_type}.json").read_bytes())
    return data.keys() == fields.keys()
