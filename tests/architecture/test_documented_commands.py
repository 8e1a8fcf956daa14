"""Every command that a document names exists, with the options that it names there."""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
import typer.core
import typer.main

from slipway.cli import COMMANDS
from testkit.documented import calls_of, code_of

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TARGETS = frozenset(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
VARIABLES = frozenset(re.findall(r"\$\((?:[a-z]+ )?([A-Z_]+)", MAKEFILE))


def faults_of_slipway(arguments: Sequence[str]) -> Iterator[str]:
    """Yield what a call of `slipway` names that does not exist."""
    name, *rest = arguments
    if name not in COMMANDS:
        if not name.startswith("-"):
            yield f"there is no `slipway {name}`"
        return
    module, _, app = COMMANDS[name].place.partition(":")
    command = typer.main.get_command(getattr(import_module(module), app))
    while isinstance(command, typer.core.TyperGroup) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in command.commands:
            yield f"there is no `{name}` in {arguments}"
            return
        command = command.commands[name]
    known = {one for option in command.params for one in (*option.opts, *option.secondary_opts)}
    for word in rest:
        option = word.partition("=")[0]
        if re.fullmatch(r"--[a-z-]+|-[a-z]", option) and option not in {*known, "--help"}:
            yield f"`slipway {' '.join(arguments)}` has no option {option}"


def faults_of_make(arguments: Sequence[str]) -> Iterator[str]:
    """Yield what a call of `make` names that does not exist."""
    for word in arguments:
        variable = re.match(r"[A-Z_]+(?==)", word)
        if variable and variable[0] not in VARIABLES:
            yield f"the Makefile does not use {variable[0]}"
        elif re.fullmatch(r"[a-z-]+", word) and word not in TARGETS:
            yield f"there is no `make {word}`"


def faults_of(text: str) -> list[str]:
    """Return what the commands of a page name that does not exist."""
    checks = (("slipway", COMMANDS, faults_of_slipway), ("make", TARGETS, faults_of_make))
    return [
        fault
        for code in code_of(text)
        for program, names, check in checks
        for arguments in calls_of(code, program, names)
        for fault in check(arguments)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist_with_their_options(page):
    assert faults_of(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_scripts_that_a_page_calls_exist(page):
    text = page.read_text(encoding="utf-8")
    called = [path for code in code_of(text) for path in re.findall(r"\bdeploy/[\w/-]+\.\w+", code)]
    assert [path for path in called if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`slipway statu`", "there is no `slipway statu`"),
        ("`slipway jobs lst`", "there is no `lst`"),
        ("```bash\nslipway verify \\\n  --speed 3 # c\n```", "has no option --speed"),
        ("`docker compose run --rm keys slipway keys\nrotate --publik=x`", "--publik"),
        ("`make lod`", "there is no `make lod`"),
        ("`make load CUSTOMERZ=2`", "does not use CUSTOMERZ"),
    ],
)
def test_a_command_or_an_option_that_does_not_exist_is_found(text, fault):
    (found,) = faults_of(text)
    assert fault in found


def test_what_exists_is_no_fault():
    text = "`make load CUSTOMERS=2`, `helm install slipway helm/x`, `slipway jobs list --service x`"
    assert faults_of(text) == []
