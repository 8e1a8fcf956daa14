import re
from pathlib import Path

import pytest

from monitoring.alert import Severity
from monitoring.objectives import BURN_RATES, OBJECTIVES, PERIOD_DAYS, WINDOWS, burn_alerts
from monitoring.prometheus import all_alerts

_ROOT = Path(__file__).parents[3]
_ALERTS = {alert.name: alert for alert in all_alerts()}


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_each_alert_has_a_name_of_its_own():
    assert len(_ALERTS) == len(all_alerts())


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_the_runbook_of_an_alert_exists(name):
    file, _, anchor = _ALERTS[name].runbook.partition("#")
    assert anchor in _anchors(_ROOT / "docs" / "runbooks" / file)


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_the_runbook_of_an_alert_says_what_whoever_is_woken_asks(name):
    file, _, anchor = _ALERTS[name].runbook.partition("#")
    text = (_ROOT / "docs" / "runbooks" / file).read_text(encoding="utf-8")
    sections = re.split(r"^(?=#+ )", text, flags=re.MULTILINE)
    (section,) = [one for one in sections if _anchor(one.partition("\n")[0].lstrip("# ")) == anchor]
    for question in ("Symptom", "Users", "See", "Over"):
        assert f"**{question}" in section, question
    assert "**Do.**" in section or "**See and do.**" in section


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_an_alert_names_what_its_summary_shows(name):
    alert = _ALERTS[name]
    shown = set(re.findall(r"\$labels\.(\w+)", alert.summary))
    assert shown <= set(alert.labels)
    assert "{{" not in alert.summary_for(alert.labels)


@pytest.mark.parametrize("name", sorted(_ALERTS))
def test_the_cases_of_an_alert_differ(name):
    assert _ALERTS[name].fires != _ALERTS[name].quiet


def test_a_page_leaves_less_than_a_week_and_a_ticket_no_more_than_the_period():
    for rate in BURN_RATES:
        days = PERIOD_DAYS / rate.factor
        assert days <= (7 if rate.severity is Severity.PAGE else PERIOD_DAYS)


def test_each_window_of_a_burn_rate_is_recorded():
    assert {window for rate in BURN_RATES for window in (rate.long, rate.short)} <= set(WINDOWS)


def test_each_objective_has_an_alert_for_each_burn_rate():
    assert len(burn_alerts()) == len(OBJECTIVES) * len(BURN_RATES)
