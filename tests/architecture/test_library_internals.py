"""Each private name of a library is used in one place, and a canary test watches it."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = "library_internals"
OURS = {file.name for file in ROOT.glob("*s/*/src/*") if file.is_dir()}
SOURCES = sorted(
    file
    for file in ROOT.glob("*s/*/src/**/*.py")
    if not {"migrations", "revisions", "environment"} & set(file.parts)
)
OUTSIDE = [file for file in SOURCES if FOLDER not in file.parts]
INSIDE = [file for file in SOURCES if file.parent.name == FOLDER and file.stem != "__init__"]

# Modules with public names that their library's documentation does not mention.
UNDOCUMENTED = (
    "aiohttp.client_reqrep",
    "aiohttp.http",
    "aiokafka.admin.config_resource",
    "aiokafka.producer.",
    "aiokafka.protocol",
    "fastapi.dependencies",
    "fastapi.params",
    "sqlalchemy.util",
    "uvicorn.protocols",
    "valkey.commands",
)
DISTRIBUTIONS = {
    "graphql_core": ("graphql-core",),
    "limits": ("limits", "valkey"),
    "opentelemetry": ("opentelemetry-sdk",),
    "strawberry": ("strawberry-graphql", "graphql-core"),
    "uvicorn_websockets": ("uvicorn",),
}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def names_of_imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def is_private_import(name):
    top, *parts = name.split(".")
    if top in OURS or top in sys.stdlib_module_names:
        return False
    return any(is_private(part) for part in parts) or f"{name}.".startswith(UNDOCUMENTED)


def test_no_private_or_undocumented_module_is_imported_elsewhere():
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno} imports {name}"
        for file in OUTSIDE
        for node, name in names_of_imports(ast.parse(file.read_text(encoding="utf-8")))
        if is_private_import(name)
    ]
    assert not found, f"import it in a module of {FOLDER}"


def test_no_private_attribute_is_reached_elsewhere():
    # ruff rejects `x._name`. The other ways are to silence ruff, or to write the name as a string.
    as_text = re.compile(r"(?:getattr|setattr|hasattr)\([^)]*[\"']_[a-z]")
    silenced = re.compile(r"noqa:[^#]*\b(?:SLF001|PLC2701)\b")
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in OUTSIDE
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if as_text.search(line) or silenced.search(line)
    ]
    assert not found, f"use the name in a module of {FOLDER}"


def test_ruff_is_silenced_for_these_modules_and_tests_alone():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ignored = rules["tool"]["ruff"]["lint"]["per-file-ignores"]
    where = {pattern for pattern, codes in ignored.items() if {"SLF001", "PLC2701"} & set(codes)}
    assert where == {"**/tests/**", f"**/{FOLDER}/*.py"}


def private_names_in(tree):
    """Return the private names that a class defines, and those of `self` that it uses."""
    own = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_private(node.name)
    }
    return own | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def classes_with_private_names():
    for file in OUTSIDE:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.bases and private_names_in(node):
                parts = file.relative_to(ROOT).with_suffix("").parts[3:]
                module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
                yield getattr(module, node.name), private_names_in(node)


@cache
def private_names_of(base):
    own = {name for name in vars(base) if is_private(name)}
    try:
        source = textwrap.dedent(inspect.getsource(base))
    except (OSError, TypeError):  # created at run time, or in C
        return own
    return own | private_names_in(ast.parse(source).body[0])


def foreign_bases(kind):
    for base in kind.__mro__[1:]:
        top = base.__module__.split(".")[0]
        if top not in OURS and top not in sys.stdlib_module_names:
            yield base


def test_no_class_elsewhere_overrides_or_uses_a_private_name_of_a_librarys_class():
    found = [
        f"{kind.__module__}.{kind.__name__} has {name}, as {base.__module__}.{base.__name__}"
        for kind, own in classes_with_private_names()
        for base in foreign_bases(kind)
        for name in sorted(own & private_names_of(base))
    ]
    assert not found, f"derive from a class of {FOLDER}, or take another name"


@pytest.mark.parametrize("file", INSIDE, ids=lambda file: str(file.relative_to(ROOT)))
class TestEachModule:
    @staticmethod
    def canaries(file):
        package = next(parent for parent in file.parents if parent.name == "src").parent
        name = file.stem.removesuffix("_websockets")
        return (package / "tests" / FOLDER / f"test_{name}.py").read_text(encoding="utf-8")

    def test_every_private_name_has_a_canary(self, file):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        used |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
        used |= {name.split(".")[-1] for _, name in names_of_imports(tree) if "._" in name}
        private = {name for name in used if is_private(name)}
        missing = {name for name in private if name not in self.canaries(file)}
        assert not missing, f"{file.name}: write a canary"

    def test_its_library_has_an_upper_bound(self, file):
        package = next(parent for parent in file.parents if parent.name == "src").parent
        declared = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))
        needed = declared["project"]["dependencies"]
        for library in DISTRIBUTIONS.get(file.stem, (file.stem,)):
            (one,) = [text for text in needed if re.match(rf"{library}(?![\w-])", text)]
            assert ",<" in one, f"{package.name} needs {one}: give it an upper bound"
