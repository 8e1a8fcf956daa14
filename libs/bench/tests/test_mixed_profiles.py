import stat

import pytest

from bench.mixed import profiles
from bench.mixed.driving import Load
from bench.mixed.profiles import MemoryProfile, known_process, record_cpu
from slipway.errors import SlipwayError


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return a function that makes a program of these lines take the place of a profiler's."""
    monkeypatch.setattr(profiles, "_BIN", tmp_path)

    def make(name, *lines):
        path = tmp_path / name
        path.write_text("\n".join(("#!/bin/sh", *lines)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make


def test_an_unknown_process_is_named_with_those_that_exist():
    assert known_process("orders-worker") == "orders-worker"
    with pytest.raises(SlipwayError, match=r"no process 'order'.*gateway, .*users-worker"):
        known_process("order")


def test_memray_runs_the_process_and_writes_beside_the_pages(tmp_path):
    interpreter = MemoryProfile(process="orders", directory=tmp_path).interpreter
    assert interpreter[1:5] == ("-m", "memray", "run", "--aggregate")
    assert interpreter[-1] == str(tmp_path / "orders-memory.bin")


async def test_a_capture_becomes_two_pages_and_a_text(tmp_path, tool):
    tool("memray", 'echo "$@"')
    capture = tmp_path / "orders-memory.bin"
    capture.touch()
    *_, text = await MemoryProfile(process="orders", directory=tmp_path).write()
    assert text.read_text().strip() == f"summary --sort-column=3 {capture}"
    assert not capture.exists()


async def test_a_profiler_that_may_not_read_the_process_is_quoted(tmp_path, tool):
    tool("py-spy", "echo Permission denied", "exit 1")
    with pytest.raises(SlipwayError, match=r"py-spy failed\.[^$]*Permission denied"):
        await record_cpu(1, tmp_path / "x.svg", seconds=1)


def test_the_load_has_one_user_more_than_customers_for_the_warehouse():
    load = Load(customers=20, seconds=60, warm_up=15)
    arguments = load.arguments("http://127.0.0.1:1")
    assert {"--users=21", "--run-time=75s", "--host=http://127.0.0.1:1"} <= set(arguments)
    assert load.steps_per_second == 20
