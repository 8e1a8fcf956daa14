"""Measures: ``python -m bench [ROW …]``, at the top of the repository."""

from typing import Annotated

import typer
from rich.console import Console

from bench.command import ROWS, Bench
from localservers import ServerError
from slipway.console import Reporter
from slipway.guard import run
from slipway.place import repository_root, state_directory

_NAMES = ", ".join(row.name for row in ROWS)

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    rows: Annotated[list[str] | None, typer.Argument(help=f"{_NAMES}; all when left out.")] = None,
    *,
    trial: Annotated[
        bool, typer.Option("--trial", help="One short round of each side; nothing is written.")
    ] = False,
) -> None:
    """Measure the system against its peers, as ratios, and write docs/performance.md.

    Each row's result is kept in docs/performance/, so some rows can be renewed without the others.
    It starts its own servers and processes. It needs two cores that are otherwise idle, and
    Debian's wrk, haproxy and nginx, which it installs if root runs it.
    """
    directory = state_directory().path / "bench"
    made = Bench(
        root=repository_root(),
        directory=directory,
        reporter=Reporter(Console()),
        trial=trial,
    )
    if not run(made.run(rows or []), ServerError):
        raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m bench")
