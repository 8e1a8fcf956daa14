"""The configuration of editors, hooks and the CI parses, and everything that it names exists."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
TOOLS = Path(sys.executable).parent
# A tag can be moved to other code; the comment behind the digest names it.
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_VALUE = (
    r"matrix\.(\w+)|github\.[\w.]+|secrets\.\w+|steps\.\w+\.outputs\.\w+"
    r"|needs\.(\w+)\.outputs\.(\w+)"
)
_KNOWN = re.compile(_VALUE)


def workflow(file):
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def make_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    groups = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    return {target for group in groups for target in group.split()}


def commands_of(job):
    return [step["run"] for step in job.get("steps", []) if "run" in step]


def test_there_is_a_workflow_and_every_python_that_is_promised_is_in_it():
    matrices = [
        job.get("strategy", {}).get("matrix", {}).get("python", [])
        for file in WORKFLOWS
        for job in workflow(file)["jobs"].values()
    ]
    assert ["3.12", "3.13", "3.14"] in matrices


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_what_each_must_have(file):
    document = workflow(file)
    assert set(document) <= {"name", True, "permissions", "concurrency", "env", "jobs"}
    assert document[True], "it never runs: YAML 1.1 reads the key `on` as true"
    assert document["permissions"] == {}, "each job says which rights it needs"
    for name, job in document["jobs"].items():
        called = job.get("uses")
        if called:  # the called workflow has the rest
            assert "permissions" in job, name
            assert called.startswith("./"), name
            assert (ROOT / called).resolve() in WORKFLOWS, name
        else:
            assert {"runs-on", "timeout-minutes", "permissions", "steps"} <= set(job), name
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(document["jobs"]), name
        for step in job.get("steps", []):
            assert len({"uses", "run"} & set(step)) == 1, f"{name}: {step}"
            assert "uses" not in step or _PINNED.fullmatch(step["uses"]), f"{name}: {step}"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_an_expression_of_a_workflow_names_what_there_is(file):
    jobs = workflow(file)["jobs"]
    for name, job in jobs.items():
        matrix = job.get("strategy", {}).get("matrix", {})
        found = re.findall(r"\$\{\{(.*?)\}\}", json.dumps(job))
        for expression in (part.strip() for whole in found for part in whole.split("||")):
            key = _KNOWN.fullmatch(expression)
            assert key, f"{name}: {expression}"
            assert key[1] is None or key[1] in matrix, f"{name}: {expression}"
            assert key[2] is None or key[3] in jobs[key[2]]["outputs"], f"{name}: {expression}"


def test_what_the_ci_runs_exists():
    scripts = [ROOT / ".ci" / "run"]
    commands = [script.read_text(encoding="utf-8") for script in scripts]
    for file in WORKFLOWS:
        for job in workflow(file)["jobs"].values():
            commands += commands_of(job)
    text = "\n".join(commands)
    targets = set(re.findall(r"\bmake ((?:[a-z][\w-]*)(?: [a-z][\w-]*)*)", re.sub("#.*", "", text)))
    named = {target for group in targets for target in group.split()}
    assert named
    assert named <= make_targets()
    for script in re.findall(r"\bbash (\S+)", text):
        assert (ROOT / script).is_file()


def test_hooks_run_tools_of_the_environment():
    config = ROOT / ".pre-commit-config.yaml"
    validate = [sys.executable, "-m", "pre_commit", "validate-config", str(config)]
    done = subprocess.run(validate, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for repository in yaml.safe_load(config.read_text(encoding="utf-8"))["repos"]:
        for hook in repository["hooks"]:
            program = hook["entry"].split()[0]
            assert program.startswith(".venv/bin/"), hook["id"]
            assert shutil.which(Path(program).name, path=TOOLS), hook["id"]


def test_the_dev_container_and_the_editor_recommend_the_same():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    editor = json.loads((ROOT / ".vscode/extensions.json").read_text(encoding="utf-8"))
    assert container["customizations"]["vscode"]["extensions"] == editor["recommendations"]
    assert container["image"].endswith((ROOT / ".python-version").read_text().strip())
    ports = {str(port) for port in container["forwardPorts"]}
    assert ports == set(container["portsAttributes"])
    for target in re.findall(r"\bmake ([\w-]+)", container["postCreateCommand"]):
        assert target in make_targets()


def test_editors_are_configured_for_how_files_are_written():
    assert "root = true" in (ROOT / ".editorconfig").read_text(encoding="utf-8")


def test_compose_waits_for_the_end_of_each_job():
    # Otherwise `docker compose up --wait` fails with "exited (0)" if a job ends before it looks.
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    started = {name: one for name, one in services.items() if "profiles" not in one}
    jobs = {name for name, one in started.items() if one["restart"] == "no"}
    waited_for = {
        name
        for one in started.values()
        for name, how in one.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert jobs
    assert jobs <= waited_for


def test_no_container_of_compose_fills_the_disk_with_its_log():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert {name for name, one in services.items() if "logging" not in one} == set()


def test_the_passwords_of_compose_join_no_line_and_nobody_else_reads_them(tmp_path):
    script = tmp_path / "deploy/compose/passwords.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "deploy/compose/passwords.sh", script)
    env = tmp_path / ".env"
    env.write_text("LOG_LEVEL=DEBUG")  # as editors write a last line
    env.chmod(0o644)
    subprocess.run([script], check=True)
    lines = env.read_text().splitlines()
    assert lines[0] == "LOG_LEVEL=DEBUG"
    assert [line.partition("=")[0] for line in lines[1:]] == [
        "COMPOSE_PROJECT_NAME",
        "SLIPWAY_POSTGRES_PASSWORD",
        "SLIPWAY_ROLES_PASSWORD",
        "SLIPWAY_KEYS",
        "SLIPWAY_ADMIN_PASSWORD",
    ]
    assert env.stat().st_mode & 0o077 == 0
    subprocess.run([script], check=True)
    assert env.read_text().splitlines() == lines
