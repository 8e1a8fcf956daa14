"""Read the metrics that the source code declares.

The names, texts and labels are literals in the code, so a syntax tree is enough to find them, and
no process needs to run. A test compares them with what real processes expose.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "LoopHistogram": "histogram",
}
_MEASUREMENT = "Measurement"
_LABELS_ARGUMENT = 2


class NotLiteralError(ValueError):
    """Raised if a metric's declaration can't be read because a part of it is not a literal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric family.

    Attributes:
        name: the name in queries, for a counter with ``_total``.
        kind: counter, gauge or histogram.
        text: its documentation.
        labels: the names of its labels, without those of Prometheus.
        package: the package that declares it.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    package: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that its samples have in queries."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (self.name,)


def declared_metrics(root: Path) -> list[Metric]:
    """Return the metrics of all packages below `root`, sorted by name.

    Args:
        root: the repository.

    Raises:
        NotLiteralError: a name, text or label is not a literal.
    """
    found = {
        metric.name: metric
        for source in product_sources(root)
        for file in sorted(source.rglob("*.py"))
        for metric in _metrics_in(file, source.name)
    }
    return sorted(found.values(), key=lambda metric: metric.name)


def product_sources(root: Path) -> list[Path]:
    """Return the packages below `root` that the product consists of, without tools for tests."""
    sources = [*root.glob("libs/*/src/*"), *root.glob("services/*/src/*")]
    return [one for one in sorted(sources) if one.name not in {"bench", "testkit", "monitoring"}]


def _metrics_in(file: Path, package: str) -> Iterator[Metric]:
    text = file.read_text(encoding="utf-8")
    if "prometheus_client" not in text and _MEASUREMENT not in text:
        return
    for node in ast.walk(ast.parse(text, str(file))):
        if isinstance(node, ast.Call):
            yield from _metrics_of(node, package, file)


def _metrics_of(call: ast.Call, package: str, file: Path) -> Iterator[Metric]:
    called = (
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    )
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if called == _MEASUREMENT and "gauges" in keywords:
        yield from _measured(keywords, package, file)
    elif called in _KINDS and "registry" in keywords:  # a `collections.Counter` has no registry
        name, text = (_literal(argument, file) for argument in call.args[:_LABELS_ARGUMENT])
        labels = call.args[_LABELS_ARGUMENT] if len(call.args) > _LABELS_ARGUMENT else None
        if called == "Counter":
            name = name.removesuffix("_total") + "_total"
        yield Metric(
            name=name,
            kind=_KINDS[called],
            text=text,
            labels=_labels(labels or keywords.get("labelnames"), file),
            package=package,
        )


def _measured(keywords: dict[str | None, ast.expr], package: str, file: Path) -> Iterator[Metric]:
    labels = _labels(keywords.get("labels"), file)
    gauges = keywords["gauges"]
    if not isinstance(gauges, ast.Dict):
        raise _not_literal(gauges, file)
    timestamp = (
        "When this was measured last; 0: never. Its gauges are absent while it is not fresh."
    )
    declared = {f"{_literal(keywords['name'], file)}_measured_timestamp_seconds": timestamp}
    for name, text in zip(gauges.keys, gauges.values, strict=True):
        declared[_literal(name, file)] = _literal(text, file)
    for name_, text_ in declared.items():
        yield Metric(name=name_, kind="gauge", text=text_, labels=labels, package=package)


def _labels(node: ast.expr | None, file: Path) -> tuple[str, ...]:
    if node is None:
        return ()
    if not isinstance(node, ast.List | ast.Tuple):
        raise _not_literal(node, file)
    return tuple(_literal(element, file) for element in node.elts)


def _literal(node: ast.expr | None, file: Path) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise _not_literal(node, file)


def _not_literal(node: ast.expr | None, file: Path) -> NotLiteralError:
    line = getattr(node, "lineno", "?")
    message = f"{file}:{line}: a metric's name, text and labels must be literals, so that the "
    return NotLiteralError(message + "documentation can list them.")
