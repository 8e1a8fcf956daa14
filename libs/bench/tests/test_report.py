"""The page lists which bars hold and which do not, then how, where and when they were measured."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.machine import Machine, Others, cpu_model, optimizations
from bench.records import Record, keep, kept
from bench.report import document, figure
from bench.results import TIMES, Finding, Line
from bench.rounds import Pace, Ratio, Sample

MACHINE = Machine(cores=2, cpu="Some CPU", memory=8 * 1024**3, kernel="Linux 6.1", busy=0.1)
FINDING = Finding(
    title="Calls",
    lines=[
        Line(what="calls", measured=Ratio(value=0.456, low=0.4, high=0.5), unit="peer", bar=0.5),
        Line(what="calls", measured=Ratio(value=21.7, low=20, high=22), unit="slow peer", bar=20),
        Line(
            what="events",
            measured=Ratio(value=12_345.6, low=1, high=20_000),
            unit="events/s",
            bar=20_000,
            plain=True,
        ),
        Line(
            what="wait",
            measured=Ratio(value=9.96, low=1, high=20),
            unit="ms",
            bar=10,
            plain=True,
            at_most=True,
        ),
    ],
    method="Both are called.",
    samples={
        "ours": [Sample(operations=4560, seconds=1, p50=1.23, p99=4.5, cpu=1.0)],
        "peer": [Sample(operations=n, seconds=1) for n in (9000, 10_000, 11_000)],
    },
    notes=["A note."],
    versions=[("Python", "3.13.0")],
    others=0.123,
)


RECORD = Record(
    row="calls",
    at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    commit="0123456789ab",
    machine=MACHINE,
    pace=Pace(),
    finding=FINDING,
)


def page(machine: Machine = MACHINE, *, missing: Sequence[str] = ()) -> str:
    return document([replace(RECORD, machine=machine)], missing=missing)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    keep(tmp_path, RECORD)
    (record,) = kept(tmp_path, ["calls", "never measured"])
    assert document([record]) == document([RECORD])


def test_the_first_table_says_what_holds() -> None:
    lines = page().splitlines()
    first = lines.index("| what | measured | bar | holds |")
    assert lines[first + 1 : first + 6] == [
        "|---|---|---|---|",
        f"| calls | 0.45 {TIMES} peer | ≥ 0.5 {TIMES} peer | no |",
        f"| calls | 21 {TIMES} slow peer | ≥ 20 {TIMES} slow peer | yes |",
        "| events | 12,345 events/s | ≥ 20,000 events/s | no |",
        "| wait | 10.0 ms | ≤ 10 ms | yes |",
    ]
    assert not any(line.startswith("|") for line in lines[:first])


def test_it_shows_machine_versions_date_and_method() -> None:
    text = page()
    for part in ("2 cores of Some CPU, 8.0 GiB", "Python 3.13.0"):
        assert part in text
    assert "| calls | 2026-01-02 03:04 | 0123456789ab | 0.10 | 12.3% of the CPU time |" in text
    assert "Not measured since" not in text
    assert "Not measured since results are kept by row: a, b." in page(missing=["a", "b"])
    for part in ("Both are called.", "A note.", "3 s, 9 times", "0.45 (0.40 to 0.50), bar 0.5"):
        assert part in text
    for part in ("- events/s: 12,345 (1.00 to 20,000), bar 20,000", "- ms: 10.0 (1.00 to 20), bar"):
        assert part in text
    assert "12.3%" in text
    assert "noisy" not in text


def test_a_busy_machine_is_reported() -> None:
    busy = Machine(cores=2, cpu="Some CPU", memory=1, kernel="Linux", busy=3.0)
    assert "noisy" in page(busy)


def test_each_side_has_its_figures_with_their_spread() -> None:
    lines = page().splitlines()
    assert "| ours | 4,560 | 4,560 to 4,560 | 1.2 | 4.5 | 219 |" in lines
    assert "| peer | 10,000 | 9,000 to 11,000 |  |  |  |" in lines


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4999, "0.49"), (1.999, "1.99"), (2.99, "2.9"), (19.99, "19"), (123.4, "123")],
)
def test_a_figure_is_cut_so_that_it_never_looks_better_than_it_is(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_cpu_is_named_as_the_kernel_names_it() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n") == "Some CPU @ 2 GHz"
    assert cpu_model("") != ""


def test_the_build_of_the_interpreter_is_told_by_its_configuration():
    both = ["--enable-optimizations", "--with-lto"]
    assert optimizations("'--prefix=/usr' '--enable-optimizations' '--with-lto' 'A=-O2 -g'") == both
    assert optimizations("--with-lto=full --enable-optimizations") == both
    assert optimizations("'--enable-optimizations' '--enable-shared'") == both[:1]
    assert optimizations("'LDFLAGS=--enable-optimizations --with-lto'") == []
    assert optimizations("") == optimizations(None) == []


def test_what_others_take_of_the_machine_leaves_out_what_is_ours() -> None:
    others = Others.since_now()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    ours = Others.since_now().ours - others.ours
    assert ours >= 0.3
    assert 0 <= others.share() <= 1
