"""Write what is made from the declarations, or check that it is up to date.

``python -m monitoring [--check]``, in the repository's root.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from chassis.documents import write_or_check
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import as_json
from monitoring.log_events import logged_events
from monitoring.metrics import declared_metrics
from monitoring.pages import alerts_page, logs_page, metrics_page
from monitoring.prometheus import rule_files, rule_tests


def files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file and its text.

    Args:
        root: the repository.
    """
    deploy, docs = root / "deploy", root / "docs"
    for name, text in rule_files().items():
        yield deploy / "prometheus" / "rules" / f"{name}.yaml", text
    for name, text in rule_tests().items():
        yield deploy / "prometheus" / "tests" / f"{name}.yaml", text
    for dashboard in DASHBOARDS:
        yield deploy / "grafana" / f"{dashboard.uid}.json", as_json(dashboard)
    yield docs / "metrics.md", metrics_page(declared_metrics(root))
    yield docs / "logs.md", logs_page(logged_events(root))
    yield docs / "alerts.md", alerts_page()


def main(arguments: list[str]) -> int:
    """Write or check all files; return the exit status."""
    return max(write_or_check(file, text, arguments) for file, text in files(Path.cwd()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
