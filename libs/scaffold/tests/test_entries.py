"""Each list of services has a place for another one, and for one after that."""

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from scaffold.__main__ import main
from scaffold.clashes import TAKEN
from scaffold.entries import (
    CONNECTIONS,
    ENTRIES,
    EntryRefusedError,
    add_entries,
    with_connections,
    with_import_rules,
)
from scaffold.names import Names
from scaffold.rendering import rendered

ROOT = Path(__file__).parents[3]
BARNACLES = Names("barnacles", "barnacle")  # which no fork is likely to add
# Not those that are installed: alone, this package has none.
SERVICES = sorted(folder.parent.name for folder in (ROOT / "services").glob("*/migrations"))
FILES = sorted({entry.file for entry in ENTRIES} | {".importlinter", *CONNECTIONS, *TAKEN})


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the files that list services."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


@pytest.fixture(autouse=True)
def _services(monkeypatch):
    monkeypatch.setattr("scaffold.__main__.service_names", lambda: SERVICES)


def texts_of(tree):
    return {file: (tree / file).read_text("utf-8") for file in FILES}


def test_each_list_gets_an_entry_of_each_service_that_is_added(tree):
    before = texts_of(tree)
    add_entries(tree, BARNACLES, SERVICES)
    once = texts_of(tree)
    # Formatted as `make service` leaves it, where a list may have become one of many lines.
    ruff = Path(sys.executable).with_name("ruff")
    rules = ROOT / "pyproject.toml"
    subprocess.run([ruff, "format", "--quiet", "--config", rules, tree], check=True)
    add_entries(tree, Names("limpets", "limpet"), [*SERVICES, "barnacles"])
    twice = texts_of(tree)
    for file in FILES:
        entries = sum(entry.file == file for entry in ENTRIES)
        assert "barnacle" not in before[file]
        assert once[file].lower().count("barnacle") >= entries, file
        assert twice[file].lower().count("limpet") >= entries, file
        assert twice[file].lower().count("barnacle") == once[file].lower().count("barnacle"), file


def test_nothing_that_was_there_is_lost(tree):
    before = texts_of(tree)
    add_entries(tree, BARNACLES, SERVICES)
    for file, text in texts_of(tree).items():
        left = iter(text)
        kept = re.sub(r"maxConnections: \d+", "maxConnections: ", before[file])
        assert all(one in left for one in kept), file


def test_a_file_without_the_list_is_named_and_nothing_is_written(tree):
    file = tree / ENTRIES[-1].file
    file.write_text("nothing\n", "utf-8")
    before = texts_of(tree)
    with pytest.raises(EntryRefusedError, match=str(ENTRIES[-1].file)):
        add_entries(tree, BARNACLES, SERVICES)
    assert texts_of(tree) == before


def test_a_chart_of_another_version_gets_an_entry_of_that_version(tree):
    chart = tree / "helm/slipway/Chart.yaml"
    text = re.sub(r"version: [\d.]+", "version: 1.2.3", chart.read_text("utf-8"))
    chart.write_text(text, "utf-8")
    add_entries(tree, BARNACLES, SERVICES)
    versions = {one["version"] for one in yaml.safe_load(chart.read_text("utf-8"))["dependencies"]}
    assert versions == {"1.2.3"}


@pytest.mark.parametrize("environment", ["development", "production"])
def test_postgresql_accepts_the_connections_of_every_service_that_is_added(tree, environment):
    """As helm/slipway/templates/checks.yaml counts them."""

    def room():
        umbrella, production, shared, servers = (
            yaml.safe_load((tree / f"helm/{file}.yaml").read_text("utf-8"))
            for file in (
                "slipway/values",
                "slipway/values-production",
                "slipway-lib/values",
                "slipway-infra/values",
            )
        )
        server, values = "postgres", umbrella
        if environment == "production":
            server, values, shared = "cloudnativepg", production, production
        limit = shared["global"]["database"]["maxConnections"]
        assert limit == servers[server]["maxConnections"]
        replicas = [
            (values[service].get(process, {}).get("autoscaling", {}).get("maxReplicas", 1), beside)
            for service in set(umbrella) & {*SERVICES, "barnacles", "limpets"}
            for process, beside in (("api", 3), ("worker", 5))
        ]
        return limit - 10 - sum(2 * count * (10 + 5 + beside) for count, beside in replicas)

    before = room()
    assert before >= 0
    add_entries(tree, BARNACLES, SERVICES)
    add_entries(tree, Names("limpets", "limpet"), [*SERVICES, "barnacles"])
    assert room() == before


def test_a_server_whose_connections_are_not_checked_stays_so():
    assert with_connections("database:\n  maxConnections: 0\n", [72]) == (
        "database:\n  maxConnections: 0\n"
    )


def test_import_rules_list_the_service_where_they_list_services():
    rules = """\
[one]
name = Services never import each other
modules =
    gateway
    orders
    users
[two]
source_modules =
    orders
forbidden_modules =
    chassis
[three]
containers =
    orders.*
    users.*
"""
    read = ConfigParser()
    read.read_string(with_import_rules(rules, "reviews", ["orders", "users"]))
    assert read["one"]["modules"].split() == ["gateway", "orders", "reviews", "users"]
    assert read["two"]["source_modules"].split() == ["orders"]
    assert read["three"]["containers"].split() == ["orders.*", "reviews.*", "users.*"]


def test_no_placeholder_is_left_in_a_file():
    files = dict(rendered(BARNACLES, version="1.2.3"))
    for path, text in files.items():
        assert "_service_" not in str(path)
        assert "_noun_" not in str(path)
        assert "$service" not in text
        assert "{service}" not in text
    assert str(next(iter(files))).endswith("barnacle.created.v1.json")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["orders"], "a package 'orders' already"),
        (["Reviews"], "can't name a package"),
        (["barnacles", "--noun", "barnacles"], "Name the service with a plural"),
        (["references"], "a reserved word of SQL"),
        (["webhooks"], '"/api/v1/webhooks" already'),
        (["sessions"], '"session-not-found" already'),
        (["deliveries"], '"getDelivery" already'),
        (["pages"], "routes.py would use 'pages' or 'page' for two things"),  # an argument twice
        (["owners"], "would use 'owners' or 'owner' for two things"),  # a field twice
        (["callers"], "would use 'callers' or 'caller' for two things"),  # a variable twice
        (["settings"], "settings.py would use 'settings'"),  # a module and a package
    ],
)
def test_the_command_refuses_a_wrong_name_and_writes_nothing(
    tree, monkeypatch, capsys, arguments, why
):
    monkeypatch.chdir(tree)
    before = texts_of(tree)
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert why in capsys.readouterr().err
    assert texts_of(tree) == before


def test_the_command_refuses_to_overwrite_a_file(tree, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    there = tree / "libs/contracts/src/contracts/barnacles.py"
    there.write_text("mine\n", "utf-8")
    with pytest.raises(SystemExit):
        main(["barnacles"])
    assert "exist already: libs/contracts/src/contracts/barnacles.py" in capsys.readouterr().err
    assert there.read_text("utf-8") == "mine\n"


def test_the_new_package_has_the_version_of_the_others(tree, monkeypatch):
    monkeypatch.chdir(tree)
    project = tree / "pyproject.toml"
    text = re.sub(r'(?m)^version = ".*"', 'version = "1.2.3"', project.read_text("utf-8"))
    project.write_text(text, "utf-8")
    main(["barnacles"])
    text = (tree / "services/barnacles/pyproject.toml").read_text("utf-8")
    assert '\nversion = "1.2.3"\n' in text


def test_the_command_lists_what_it_wrote(tree, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    assert main(["barnacles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "new      services/barnacles/src/barnacles/declaration.py" in lines
    assert "changed  docker-compose.yml" in lines
    for line in lines:
        assert (tree / line.split()[1]).is_file()


def test_the_longest_name_makes_no_line_too_long(tmp_path):
    for path, text in rendered(Names("a" * 20, "a" * 19), version="1.2.3"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    rules = ["--quiet", "--config", ROOT / "pyproject.toml", tmp_path]
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "--fix-only", *rules], check=True)
    subprocess.run([ruff, "format", *rules], check=True)
    checked = subprocess.run(
        [ruff, "check", "--select=E501", *rules], check=False, text=True, capture_output=True
    )
    assert checked.stdout == ""
