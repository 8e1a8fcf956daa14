import re

import pytest
import yaml

from monitoring.prometheus import rule_files
from monitoring.scaled import SLOW_BURNS, scaled_duration, scaled_rule_files


@pytest.mark.parametrize(
    ("text", "least", "scaled"),
    [("5m", 0, "15s"), ("0m", 0, "0s"), ("2m", 8, "8s"), ("1d", 0, "4320s"), ("30s", 0, "1s")],
)
def test_a_duration_is_divided_but_not_below_the_least(text, least, scaled):
    assert scaled_duration(text, 20, least=least) == scaled


def _rules(files):
    return [
        rule
        for text in files.values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
    ]


def test_all_rules_but_the_slow_burns_are_kept_with_their_limits():
    wanted = [r for r in _rules(rule_files()) if not str(r.get("alert")).endswith(SLOW_BURNS)]
    scaled = _rules(scaled_rule_files())
    assert [rule.get("alert") for rule in scaled] == [rule.get("alert") for rule in wanted]
    for before, after in zip(wanted, scaled, strict=True):
        windows = re.compile(r"\[[^\]]*\]")
        assert windows.sub("", before["expr"]) == windows.sub("", after["expr"])
        assert not re.search(r"\[\d+[mhd]", after["expr"])
