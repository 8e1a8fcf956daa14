from pathlib import Path

import pytest

from slipway.checks import Grade
from slipway.local.names import name_check

ROOT = Path(__file__).parents[4]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("SETTINGS_FILE", raising=False)
    for name in (".env.example", "docker-compose.yml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("SLIPWAY_PORT_OFSET", "SLIPWAY_PORT_OFFSET"),
        ("LIMITS_DEFAULT", "LIMIT_DEFAULT"),
        ("SMPT_SERVER", "SMTP_SERVER"),
        ("DATABASE_SUPERUSER_ULR", "DATABASE_SUPERUSER_URL"),
    ],
)
def test_a_name_that_nearly_is_one_of_a_setting_is_named(root, wrong, meant):
    (root / ".env").write_text(f"{wrong}=1\n")
    check = name_check(root)
    assert check.grade is Grade.WARNING
    assert check.found == f"{wrong} is no setting: is {meant} meant?"


def test_a_name_that_is_there_twice_is_named(root):
    (root / ".env").write_text("LOG_LEVEL=INFO\nlog_level=DEBUG\n")
    check = name_check(root)
    assert (check.grade, check.found) == (
        Grade.WARNING,
        "LOG_LEVEL is there 2 times: the last one counts",
    )


def test_names_of_settings_of_compose_and_of_other_programs_are_well(root):
    names = "LOG_LEVEL SLIPWAY_POSTGRES_PASSWORD COMPOSE_PROJECT_NAME AWS_PROFILE STARTUP_WAIT"
    (root / ".env").write_text("".join(f"{name}=1\n" for name in names.split()))
    assert name_check(root).grade is Grade.OK


def test_every_name_of_the_document_is_well_and_is_not_taken_for_another(root):
    lines = (root / ".env.example").read_text().splitlines()
    given = [line.removeprefix("# ") for line in lines if line.startswith("# ") and "=" in line]
    (root / ".env").write_text("\n".join(one for one in given if one.partition("=")[0].isupper()))
    assert name_check(root).grade is Grade.OK


def test_without_the_file_there_is_nothing_to_check(root):
    assert name_check(root).grade is Grade.OK
