"""The lists of Accept and Accept-Encoding with their weights (RFC 9110 §12.4.2)."""

import re

_WEIGHT = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def weights_of(value: bytes) -> dict[bytes, float]:
    """Return the weight of each element, in lower case and without its parameters.

    An element whose weight is not valid is left out: the client did not say that it accepts it. Of
    an element that occurs twice, the higher weight counts.
    """
    found: dict[bytes, float] = {}
    for element in value.split(b","):
        name, *parameters = (part.strip() for part in element.split(b";"))
        if not name:
            continue
        weight = _weight(parameters)
        if weight is not None:
            key = name.lower()
            found[key] = max(weight, found.get(key, 0.0))
    return found


def _weight(parameters: list[bytes]) -> float | None:
    for parameter in parameters:
        name, _, text = parameter.partition(b"=")
        if name.strip().lower() == b"q":
            text = text.strip()
            return float(text) if _WEIGHT.fullmatch(text) else None
    return 1.0
