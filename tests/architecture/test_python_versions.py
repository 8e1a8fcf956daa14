"""The code avoids constructs that fail in the oldest Python that pyproject.toml allows."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREES = [ast.parse(file.read_text(), filename=str(file)) for file in ROOT.glob("*/*/src/**/*.py")]
NODES = [node for tree in TREES for node in ast.walk(tree)]


def is_frozen_with_slots(decorator):
    options = {word.arg for word in getattr(decorator, "keywords", ()) if word.arg}
    return {"frozen", "slots"} <= options


def test_no_frozen_dataclass_with_slots_is_called_with_type_arguments():
    """`X[int](…)` sets an attribute. In Python 3.12.1, such a class then raises TypeError."""
    frozen = {
        node.name
        for node in NODES
        if isinstance(node, ast.ClassDef)
        and node.type_params
        and any(map(is_frozen_with_slots, node.decorator_list))
    }
    called = {
        ast.unparse(node.func.value)
        for node in NODES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
    }
    assert frozen, "no such class was found: has the decorator changed?"
    assert not frozen & called
