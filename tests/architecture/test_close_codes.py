"""The guides say what a client does at each close code that it can get."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATEWAY = ROOT / "services" / "gateway" / "src" / "gateway"
ROW = re.compile(r"^\| ([^|`]+) \|", re.MULTILINE)
CODE = re.compile(r"\b[14][0-9]{3}\b")
CONSTANT = re.compile(r"^_[A-Z_]+ = ([14][0-9]{3})$", re.MULTILINE)


def codes_of(guide: str) -> set[str]:
    """Return the codes in the first column of a guide's tables."""
    text = (ROOT / "docs" / "guides" / guide).read_text(encoding="utf-8")
    return {code for row in ROW.findall(text) for code in CODE.findall(row)}


def test_the_guide_of_the_live_feed_has_the_codes_of_the_document() -> None:
    document = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
    described = document["channels"]["notifications.feed"]["x-close-codes"]
    assert described.keys() <= codes_of("live-feed.md")


def test_the_document_of_the_live_feed_has_the_gateway_s_own_code() -> None:
    """The gateway closes a socket with it if it gets none to the service."""
    document = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
    [code] = re.findall(
        r"^_BAD_GATEWAY = (\d+)$", (GATEWAY / "websockets.py").read_text("utf-8"), re.MULTILINE
    )
    assert code in document["channels"]["notifications.feed"]["x-close-codes"]


@pytest.mark.parametrize("module", ["connections.py", "sockets.py"])
def test_the_guide_of_graphql_has_each_code_of_the_gateway(module: str) -> None:
    source = (GATEWAY / "graph" / module).read_text(encoding="utf-8")
    codes = set(CONSTANT.findall(source))
    assert codes
    assert codes <= codes_of("graphql.md")
