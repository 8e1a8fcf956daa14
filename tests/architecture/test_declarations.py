"""A service is declared once. Files that can't read the declaration are compared with it here."""

import configparser
import re
from pathlib import Path

import pytest

from chassis.installed import service_names
from chassis.service import installed_services

ROOT = Path(__file__).parents[2]
NAMES = service_names()
ROLES_OF_THE_ROOT = {
    *("__init__.py", "declaration.py", "composition.py", "resources.py"),
    *("settings.py", "metadata.py", "documentation.py"),
}
EACH = pytest.mark.parametrize("service", NAMES)

# Files in languages that can't read a Python declaration, and how each names a service.
LISTED = {
    "docker-compose.yml": (
        r"^  {0}:",
        r"^  {0}-worker:",
        r"^  {0}-migrate:",
        r"command: \[chassis\.run, {0}, api\]",
        r"command: \[chassis\.run, {0}, worker\]",
        r"{1}_OWNER_PASSWORD: ",
        r"{1}_RUNTIME_PASSWORD: ",
        r"{1}_URL: ",
        r"SLIPWAY_SERVICES: .*\b{0}\b",
    ),
    "helm/gateway/values.yaml": (r'^  {0}: ""$',),
    "helm/gateway/values.schema.json": (r'^        "{0}": {{',),
    "helm/slipway/Chart.yaml": (r"name: service,.* alias: {0} }}",),
    "helm/slipway/values.yaml": (r"^{0}:",),
    "helm/slipway/values.schema.json": (r'^    "{0}": {{',),
    "deploy/kubernetes/kubectl/slipway/kustomization.yaml": (r"name: slipway/{0},",),
    "deploy/backup/backup.sh": (r"set -- .*\b{0}\b",),
    "deploy/backup/restore.sh": (r"set -- .*\b{0}\b",),
    "deploy/compose/prometheus.yml": (r"- {0}:9000$", r"- {0}-worker:9000$"),
    "deploy/prometheus/rules/kubernetes.yaml": (r"kube_deployment_spec_replicas{{.*\b{0}\b",),
    "deploy/prometheus/rules/processes.yaml": (r"expr: up{{.*\b{0}\b",),
    "deploy/grafana/slipway-service.json": (r'"regex": ".*\b{0}\b',),
    ".github/workflows/ci.yml": (r"- services/{0}$",),
    ".github/workflows/release.yml": (r"package: \[.*\b{0}\b",),
    ".github/workflows/security.yml": (r"package: \[.*\b{0}\b",),
}


def test_a_folder_of_services_is_a_declared_service_or_the_gateway():
    folders = {file.parent.name for file in (ROOT / "services").glob("*/pyproject.toml")}
    assert folders == {*NAMES, "gateway"}


@pytest.mark.parametrize("service", installed_services(), ids=lambda service: service.name)
def test_an_entry_point_is_named_as_its_service_and_package(service):
    assert service.name in NAMES
    assert type(service).__name__ == "Service"
    assert service.metadata.tables, f"{service.name} has no table"


@EACH
def test_the_root_of_a_service_has_role_files_and_nouns_alone(service):
    root = ROOT / "services" / service / "src" / service
    files = {file.name for file in root.glob("*.py")}
    assert {"__init__.py", "declaration.py", "metadata.py", "settings.py"} <= files
    assert files <= ROLES_OF_THE_ROOT
    nouns = [noun for noun in root.iterdir() if noun.is_dir() and noun.name != "__pycache__"]
    assert nouns
    for noun in nouns:
        wired = [(noun / file).exists() for file in ("service.py", "wiring.py")]
        assert any(wired), f"{noun}: a noun has use cases, or wires those of the chassis"


@EACH
@pytest.mark.parametrize("file", LISTED)
def test_a_list_in_another_language_has_every_service(file, service):
    text = (ROOT / file).read_text(encoding="utf-8")
    for pattern in LISTED[file]:
        wanted = pattern.format(service, service.upper())
        assert re.search(wanted, text, re.MULTILINE), f"{file} lacks {wanted}"


@EACH
def test_every_import_rule_that_lists_services_lists_this_one(service):
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    for section in rules.sections():
        for option, value in rules[section].items():
            entries = set(value.split())
            for form in ("{}", "{}.*"):
                named = {form.format(name) for name in NAMES}
                if len(entries & named) > 1 or (form == "{}.*" and entries & named):
                    assert form.format(service) in entries, f"{section}: {option}"
