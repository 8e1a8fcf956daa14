"""Spans have attributes of OpenTelemetry's semantic conventions, and none that they deprecate.

The conventions of HTTP, URLs, databases and errors are stable. Those of messaging are not yet: the
package keeps them apart, and notes which of them are deprecated.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from opentelemetry.semconv._incubating.attributes import (
    messaging_attributes,
)

ROOT = Path(__file__).parents[2]
STABLE = ("client", "db", "error", "http", "network", "server", "url")
_NAMES = re.compile(rf"({'|'.join(STABLE)}|messaging)(\.[a-z_]+)+")
_DEPRECATED = re.compile(r'^\w+: Final = "([\w.]+)"\n"""\n(?:Note: )?Deprecated', re.MULTILINE)


def values_of(module):
    return {value for name, value in vars(module).items() if name.isupper()}


def used():
    """Return each attribute of a convention that the code sets, with a file that does."""
    found = {}
    for file in [*ROOT.glob("libs/chassis/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]:
        text = file.read_text(encoding="utf-8")
        if "opentelemetry" not in text and "messaging." not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "set_attribute":
                names: list[ast.expr] = node.args[:1]
            elif isinstance(node, ast.Dict):
                names = [key for key in node.keys if key is not None]
            else:
                continue
            for name in names:
                if isinstance(name, ast.Constant) and _NAMES.fullmatch(str(name.value)):
                    found[name.value] = file.relative_to(ROOT)
    return found


USED = used()


def test_the_search_finds_what_is_known_to_be_there():
    assert {"http.route", "http.response.status_code", "messaging.system", "error.type"} <= set(
        USED
    )


@pytest.mark.parametrize("name", [name for name in USED if not name.startswith("messaging.")])
def test_an_attribute_is_stable(name):
    module = importlib.import_module(
        f"opentelemetry.semconv.attributes.{name.partition('.')[0]}_attributes"
    )
    assert name in values_of(module), f"{USED[name]}: {name} is not a stable attribute"


@pytest.mark.parametrize("name", [name for name in USED if name.startswith("messaging.")])
def test_an_attribute_of_messaging_is_current(name):
    assert name in values_of(messaging_attributes), f"{USED[name]}: {name} is not defined"
    deprecated = _DEPRECATED.findall(inspect.getsource(messaging_attributes))
    assert "messaging.kafka.message.offset" in deprecated  # so the pattern finds them
    assert name not in deprecated, f"{USED[name]}: {name} is deprecated"
