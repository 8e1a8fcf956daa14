from textwrap import dedent

import pytest

from monitoring.log_events import logged_events
from monitoring.metrics import NotLiteralError


def _logged(root, text):
    file = root / "services" / "some" / "src" / "some" / "noun" / "service.py"
    file.parent.mkdir(parents=True)
    file.write_text("import structlog\n" + dedent(text), encoding="utf-8")
    return logged_events(root)


def test_an_event_has_its_module_level_and_fields(tmp_path):
    (event,) = _logged(tmp_path, 'log.warning("message parked", id=1, attempts=2, **more)')
    assert (event.name, event.module) == ("message parked", "some.noun.service")
    assert event.levels == ("warning",)
    assert event.fields == ("attempts", "id", "…")


def test_an_event_that_a_module_logs_twice_is_listed_once(tmp_path):
    (event,) = _logged(
        tmp_path,
        """
        log.exception("it failed", a=1)
        log.info("it failed", b=1, exc_info=error)
        """,
    )
    assert event.levels == ("info", "error")
    assert event.fields == ("a", "b")


def test_a_level_that_depends_on_the_case_is_listed_with_each_choice(tmp_path):
    (event,) = _logged(
        tmp_path, 'log.log(logging.ERROR if bad else logging.WARNING, "it failed", a=1)'
    )
    assert event.levels == ("warning", "error")


def test_what_is_no_logger_is_passed_over(tmp_path):
    assert _logged(tmp_path, 'unit.execute("SELECT 1")\nmath.log(2, 10)') == []


def test_a_name_that_is_computed_is_refused_with_its_place(tmp_path):
    with pytest.raises(NotLiteralError, match=r"service.py:2"):
        _logged(tmp_path, 'log.info(f"order {number} changed")')
