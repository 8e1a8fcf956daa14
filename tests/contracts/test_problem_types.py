"""A problem's type, status and title are part of the API: once published, they never change."""

import importlib
import json
import pkgutil
from pathlib import Path

from chassis.errors import DomainError
from chassis.http.problems import status_of
from chassis.installed import service_names

LIST = Path(__file__).with_name("problem_types.json")
PACKAGES = ("chassis", "gateway", *service_names())
ALONE = ("environment", "revisions", "__main__")  # modules that are loaded by path, not imported


def loaded(package):
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not set(ALONE) & set(found.name.split(".")):
            importlib.import_module(found.name)


def kinds_of(kind):
    yield kind
    for one in kind.__subclasses__():
        yield from kinds_of(one)


def published():
    for package in PACKAGES:
        loaded(package)
    return {kind for kind in kinds_of(DomainError) if kind.__module__.split(".")[0] in PACKAGES}


def test_types_statuses_and_titles_are_those_of_the_list():
    found = {
        kind.name: {"status": status_of(kind), "title": kind.title}
        for kind in sorted(published(), key=lambda kind: kind.__qualname__)
    }
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    gone = {name: what for name, what in listed.items() if found.get(name) != what}
    assert not gone, "clients know these: give the class its old name and title"
    new = {name: what for name, what in found.items() if name not in listed}
    assert not new, f"add them to {LIST.name}"


def test_two_kinds_of_one_type_are_the_same_to_a_client():
    seen: dict[str, tuple[int, str]] = {}
    for kind in published():
        what = (status_of(kind), kind.title)
        assert seen.setdefault(kind.name, what) == what, kind.name


def test_the_list_is_in_order():
    names = list(json.loads(LIST.read_text(encoding="utf-8")))
    assert names == sorted(names)
