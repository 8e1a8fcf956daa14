"""The repository's own rules for files, which no linter checks."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
# Each file that may be longer, with the reason.
LONG_FILES: dict[str, str] = {}
VAGUE_NAMES = {
    "utils.py",
    "util.py",
    "helpers.py",
    "helper.py",
    "common.py",
    "misc.py",
    "base_utils.py",
}
TOP_LEVEL = {
    "services", "libs", "deploy", "helm", "docs", "tests", "findings", "docker-compose.yml",
    "Makefile", "pyproject.toml", "uv.lock", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
    "SECURITY.md", "LICENSE",
}  # fmt: skip


def tracked(pattern: str = "*.py") -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in names.splitlines() if (ROOT / name).exists()]


def test_no_file_is_longer_than_a_reader_can_hold():
    long = {
        str(file.relative_to(ROOT))
        for file in tracked()
        if len(file.read_text(encoding="utf-8").splitlines()) > MAX_LINES
    }
    assert long == set(LONG_FILES), "split the file, or list it here with its reason"


def test_no_file_has_a_vague_name():
    assert not [file for file in tracked() if file.name in VAGUE_NAMES]


def test_the_root_folder_holds_only_known_names():
    names = {file.relative_to(ROOT).parts[0] for file in tracked("*")}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_every_suppressed_rule_has_its_reason_beside_it():
    bare = re.compile(r"#\s*(noqa(?!: [A-Z0-9, ]+? (- |\s*# ))|type: ignore(?!\[[\w, -]+\]\s+# ))")
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked()
        if file != Path(__file__)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if bare.search(line)
    ]
    assert not found


def test_every_package_is_typed_and_has_tests():
    packages = [*(ROOT / "libs").iterdir(), *(ROOT / "services").iterdir()]
    for package in (path for path in packages if path.is_dir()):
        assert list(package.glob("src/*/py.typed")), f"{package} has no py.typed"
        assert list(package.rglob("tests/**/test_*.py")), f"{package} has no tests"


def test_no_module_of_a_service_holds_a_process_wide_object():
    banned = re.compile(r"lru_cache|functools\.cache\b|^settings\s*=|^engine\s*=", re.MULTILINE)
    found = [
        str(file.relative_to(ROOT))
        for file in tracked("services/*/src/*.py")
        if banned.search(file.read_text(encoding="utf-8"))
    ]
    assert not found
