"""The committed schemas are the baseline: they match the examples, and never break silently."""

import json
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
from pydantic import create_model

from contracts import EVENTS
from contracts.examples import example_json
from contracts.schemas import DIRECTORY, main, schema_of
from contracts.users import UserRegistered, UserRolesChanged


@pytest.fixture
def baseline(tmp_path):
    return shutil.copytree(DIRECTORY, tmp_path / "schemas")


def with_event(changed: Any) -> list[Any]:
    return [changed if event.type == changed.type else event for event in EVENTS]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_the_committed_schema_takes_the_example_and_not_less(event):
    schema = json.loads((DIRECTORY / f"{event.type}.json").read_bytes())
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    validator.check_schema(schema)
    data = json.loads(example_json(event))
    validator.validate(data)
    for name in schema["required"]:
        less = {key: value for key, value in data.items() if key != name}
        assert not validator.is_valid(less), name


def test_what_is_committed_is_fresh():
    assert main(["--check"]) == 0


def test_a_compatible_change_is_stale_until_it_is_written(baseline, capsys):
    newer: Any = create_model("UserRegistered", __base__=UserRegistered, locale=(str, "en"))
    newer.type = UserRegistered.type
    assert main(["--check"], directory=baseline, events=with_event(newer)) == 1
    assert "user.registered.v1.json is stale: run `make documents`" in capsys.readouterr().err
    assert main([], directory=baseline, events=with_event(newer)) == 0
    assert main(["--check"], directory=baseline, events=with_event(newer)) == 0
    # It is published now, so removing it breaks a rule.
    assert main([], directory=baseline, events=EVENTS) == 1
    assert "user.registered.v1: field-removed at $.locale" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--check"]], ids=["write", "check"])
def test_an_incompatible_change_is_refused_by_name_and_not_written(baseline, capsys, arguments):
    newer: Any = create_model("UserRolesChanged", __base__=UserRolesChanged, why=(str, ...))
    newer.type = UserRolesChanged.type
    before = (baseline / "user.roles_changed.v1.json").read_bytes()
    assert main(arguments, directory=baseline, events=with_event(newer)) == 1
    errors = capsys.readouterr().err
    assert "user.roles_changed.v1: required-field-added at $.why" in errors
    assert "docs/guides/events.md" in errors
    assert (baseline / "user.roles_changed.v1.json").read_bytes() == before


def test_an_event_is_not_removed_by_deleting_its_model(baseline, capsys):
    left = [event for event in EVENTS if event is not UserRolesChanged]
    assert main(["--check"], directory=baseline, events=left) == 1
    assert "user.roles_changed.v1: event-removed at $" in capsys.readouterr().err


def test_a_rewritten_baseline_is_found_by_comparing_with_a_revision(baseline, capsys):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", "-C", baseline, *identity, *arguments], check=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "baseline")
    newer: Any = create_model("UserRolesChanged", __base__=UserRolesChanged, why=(str, ...))
    newer.type = UserRolesChanged.type
    text = json.dumps(schema_of(newer), indent=2, ensure_ascii=False) + "\n"
    (baseline / "user.roles_changed.v1.json").write_text(text, encoding="utf-8")
    events = with_event(newer)
    assert main(["--check"], directory=baseline, events=events) == 0
    assert main(["--check", "--against", "HEAD"], directory=baseline, events=events) == 1
    assert "required-field-added at $.why" in capsys.readouterr().err
