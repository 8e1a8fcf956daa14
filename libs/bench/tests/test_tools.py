"""External programs are found, installed if possible, and run; their failures are reported."""

import os
from pathlib import Path

import pytest

from bench.load import Requests, Wrk, on_core
from bench.load import sample_of as wrk_sample
from bench.pgbench import sample_of as pgbench_sample
from bench.tools import find, install_missing, output_of, version_of
from slipway.console import Reporter
from slipway.errors import SlipwayError

WRK = """Running 1s test @ http://127.0.0.1:1/
  2000 requests in 1.00s, 1.00MB read
RESULT {"requests": 2000, "seconds": 1.250000, "errors": %d, "p50": 1.500, "p99": 9.000}
"""
PGBENCH = """pgbench (18.4)
number of transactions actually processed: %d
number of failed transactions: %d (0.000%%)
latency average = 1.9 ms
initial connection time = 21.7 ms
tps = 500.000000 (without initial connection time)
"""


def program(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="apt-get install wrk"):
        find("wrk", path=str(tmp_path))
    program(tmp_path, "wrk", "")
    assert find("wrk", path=str(tmp_path)) == tmp_path / "wrk"


async def test_nothing_is_installed_where_nothing_is_missing(tmp_path: Path) -> None:
    program(tmp_path, "wrk", "")
    program(tmp_path, "apt-get", f"touch {tmp_path}/called")
    await install_missing(["wrk"], Reporter.silent(), path=str(tmp_path))
    assert not (tmp_path / "called").exists()


async def test_what_is_missing_is_installed_for_root_and_asked_of_others(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/called')
    install = install_missing(["wrk", "haproxy"], Reporter.silent(), path=str(tmp_path))
    if os.geteuid() == 0:
        await install
        last = (tmp_path / "called").read_text().splitlines()[-1]
        assert last.startswith("install -y")
        assert last.endswith("wrk haproxy")
    else:
        with pytest.raises(SlipwayError, match="sudo apt-get install wrk haproxy"):
            await install


async def test_without_apt_the_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="Missing: haproxy"):
        await install_missing(["haproxy"], Reporter.silent(), path=str(tmp_path))


async def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = program(tmp_path, "failing", "echo no such thing >&2; exit 3")
    with pytest.raises(
        SlipwayError, match=r"failing exited with status 3\. Its output:\nno such thing"
    ):
        await output_of(failing)
    assert await output_of(failing, allowed=(3,)) == "no such thing\n"


async def test_a_version_is_the_first_number(tmp_path: Path) -> None:
    says = program(tmp_path, "haproxy", 'echo "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - x"')
    assert await version_of("haproxy", path=str(says.parent)) == "2.6.12-1+deb12u4"
    mute = program(tmp_path, "wrk", "echo new; exit 1")
    assert await version_of("wrk", path=str(mute.parent)) == "new"


async def test_wrk_is_run_with_its_script_and_read(tmp_path: Path) -> None:
    output_file = tmp_path / "output"
    output_file.write_text(WRK % 0)
    wrk = program(tmp_path, "wrk", f'echo "$@" > {tmp_path}/arguments; cat {output_file}')
    requests = Requests(script="reads.lua", arguments=("tokens.txt",))
    sample = await Wrk(wrk, tmp_path).run("http://x/y", requests, clients=7, seconds=2.2)
    assert (sample.per_second, sample.p50, sample.p99) == (1600, 1.5, 9)
    arguments = (tmp_path / "arguments").read_text()
    assert "--connections=7 --duration=2s" in arguments
    assert arguments.endswith("http://x/y -- tokens.txt\n")
    script = (tmp_path / "reads.lua").read_text()
    assert "function request()" in script
    assert "function done(" in script


def test_one_core_is_asked_of_taskset() -> None:
    assert on_core(None) == ()
    assert on_core(1) == ("taskset", "--cpu-list", "1")


@pytest.mark.parametrize("output", ["", WRK % 1, WRK.replace("2000,", "0,") % 0])
def test_a_round_of_wrk_with_errors_or_nothing_done_is_void(output: str) -> None:
    with pytest.raises(SlipwayError, match="wrk"):
        wrk_sample(output)


def test_pgbench_is_read() -> None:
    sample = pgbench_sample(PGBENCH % (1500, 0))
    assert (sample.operations, sample.seconds) == (1500, 3)


@pytest.mark.parametrize("output", ["", PGBENCH % (1500, 1), PGBENCH % (0, 0)])
def test_a_round_of_pgbench_with_failures_is_void(output: str) -> None:
    with pytest.raises(SlipwayError, match="Transactions failed, so nothing was measured"):
        pgbench_sample(output)
