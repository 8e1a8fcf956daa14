"""The terminal shows each step with its time, and all addresses."""

from io import StringIO

import pytest
from rich.console import Console

from slipway.console import Reporter
from slipway.local.foreground import addresses
from slipway.settings import SlipwaySettings


def test_the_addresses_are_those_of_the_settings() -> None:
    output = StringIO()
    settings = SlipwaySettings.model_validate({"gateway_port": 18000, "smtp_port": 11025})
    Console(file=output, width=200).print(addresses(settings))
    for text in ("http://127.0.0.1:18000/docs", "127.0.0.1:11025", "customer@example.com"):
        assert text in output.getvalue()


def test_a_password_of_ones_own_is_not_that_of_the_demo_accounts_and_not_shown() -> None:
    output = StringIO()
    own = {"first_admin_email": "me@example.com", "first_admin_password": "hunter2-hunter2"}
    Console(file=output, width=200).print(addresses(SlipwaySettings.model_validate(own)))
    (line,) = [line for line in output.getvalue().splitlines() if "me@example.com" in line]
    assert "me@example.com, FIRST_ADMIN_PASSWORD" in line
    assert "hunter2" not in output.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_step_is_shown_with_its_time(*, terminal: bool) -> None:
    output = StringIO()
    reporter = Reporter(Console(file=output, width=200, force_terminal=terminal))
    with reporter.step("first [1]"):
        reporter.say("in [between]")
    assert "s  first [1]" in output.getvalue()
    assert "in [between]" in output.getvalue()


def test_a_step_that_fails_is_not_shown_as_done() -> None:
    output = StringIO()
    reporter = Reporter(Console(file=output, force_terminal=False))
    with pytest.raises(ValueError, match="no"), reporter.step("first"):
        raise ValueError("no")  # noqa: EM101 - it stands for any error
    assert "s  first" not in output.getvalue()


class Gone(StringIO):
    def write(self, _: str) -> int:
        raise OSError


def test_a_terminal_that_went_away_stops_nothing() -> None:
    reporter = Reporter(Console(file=Gone(), force_terminal=False))
    with reporter.step("first"):
        reporter.say("second")
