"""The chart reads the topics from a file that is generated from the contracts."""

import json
from pathlib import Path

from contracts import TOPICS
from slipway.operate.topics_document import document, main

CHART = Path(__file__).parents[4] / "helm" / "slipway" / "topics.json"


def test_the_private_topic_names_its_one_reader() -> None:
    by_name = {topic["name"]: topic for topic in document(TOPICS)}
    private = by_name["slipway.users.private"]
    assert (private["producer"], private["readers"]) == ("users", ("notifications",))
    assert private["config"]["message.timestamp.type"] == "LogAppendTime"
    assert by_name["slipway.orders"]["readers"] is None
    assert by_name["slipway.orders"]["config"]["retention.ms"] == "259200000"


def test_a_stale_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "topics.json"
    file.write_text("[]")
    assert main([str(file), "--check"]) == 1
    assert main([str(file)]) == 0
    assert main([str(file), "--check"]) == 0
    assert json.loads(file.read_text()) == json.loads(json.dumps(document(TOPICS)))


def test_the_chart_has_what_the_contracts_declare() -> None:
    # If the package is tested alone, there are no charts.
    assert not CHART.parent.exists() or main([str(CHART), "--check"]) == 0
