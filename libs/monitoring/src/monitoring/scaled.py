"""The rules with shorter windows, so that a run of minutes sees an alert fire and end.

All windows and holds are divided by one factor. Limits stay as they are: an age of 30 s is still
30 s. So a scaled alert has the same cause as the real one, and is only faster and more nervous.
"""

import re
from typing import Any

import yaml

from monitoring.prometheus import rule_files

FACTOR = 20
"""5 minutes become 15 s, and half an hour 90 s."""
LEAST_SECONDS = 8
"""The shortest window: four scrapes, or a rate has no value when one of them is late."""
SLOW_BURNS = ("Burns1d", "Burns3d")
"""Left out: a 20th of their windows is still longer than a run."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WINDOW = re.compile(r"\[(\d+[smhd])(:?)\]")


def scaled_rule_files(factor: int = FACTOR) -> dict[str, str]:
    """Return the files of rules by the name of their group, with windows divided by `factor`."""
    return {name: _scaled_file(text, factor) for name, text in rule_files().items()}


def scaled_duration(text: str, factor: int, *, least: int = 0) -> str:
    """Return a duration of Prometheus, e.g. ``5m``, divided by `factor`, in whole seconds."""
    seconds = int(text[:-1]) * _UNITS[text[-1]] // factor
    return f"{max(least, seconds)}s"


def _scaled_file(text: str, factor: int) -> str:
    document = yaml.safe_load(text)
    for group in document["groups"]:
        group["rules"] = [
            _scaled_rule(rule, factor)
            for rule in group["rules"]
            if not str(rule.get("alert", "")).endswith(SLOW_BURNS)
        ]
    scaled: str = yaml.safe_dump(document, sort_keys=False, width=1000)
    return scaled


def _scaled_rule(rule: dict[str, Any], factor: int) -> dict[str, Any]:
    def window(found: re.Match[str]) -> str:
        return f"[{scaled_duration(found[1], factor, least=LEAST_SECONDS)}{found[2]}]"

    scaled = {**rule, "expr": _WINDOW.sub(window, rule["expr"])}
    if "for" in rule:
        scaled["for"] = scaled_duration(rule["for"], factor)
    return scaled
