"""Programs run in forks of one interpreter, and behave as if each had an interpreter of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway.errors import StartError
from slipway.local.forks import Template, running_template
from slipway.local.program import Program, ProgramSpec
from slipway.local.supervisor import RestartPolicy, supervising
from slipway.state import StateDirectory
from testkit.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a template")

SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"
FACTS = """
import json, os, random, sys, uuid_utils
facts = {
    "arguments": sys.argv[1:],
    "main": __name__,
    "mark": os.environ.get("MARK"),
    "home": os.environ.get("HOME"),
    "directory": os.getcwd(),
    "session": os.getsid(0) == os.getpid(),
    "name": open("/proc/self/comm").read().strip(),
    "input": sys.stdin.read(),
    "descriptors": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                          if os.path.exists(f"/proc/self/fd/{fd}")),
    "shared": "chassis.service_processes" in sys.modules,
    "random": [random.random(), str(uuid_utils.uuid7())[-12:]],
}
print(json.dumps(facts))
sys.exit(3)
"""


async def nothing() -> None:
    pass


class Place:
    """Makes programs, each of a module that a test writes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._state = StateDirectory(directory / "state")
        self._state.make()

    def write(self, name: str, code: str) -> None:
        (self.directory / f"{name}.py").write_text(code)

    def program(self, template: Template, name: str, **environment: str) -> Program:
        spec = ProgramSpec(
            name=name,
            command=(sys.executable, "-m", name, "one", "two"),
            environment={"PATH": os.environ["PATH"], **environment},
            directory=self.directory,
        )
        return Program(spec, state=self._state, say=print, template=template)


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with running_template() as template:
        assert template is not None
        yield template


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def parent(program: Program) -> psutil.Process:
    process = psutil.Process(program.pid).parent()
    assert process is not None
    return process


def is_fork(program: Program) -> bool:
    return "slipway.local.template" in psutil.Process(program.pid).cmdline()


async def until_begun(program: Program) -> None:
    await until(lambda: "begun" in program.log_file.read_text())


async def test_a_fork_has_its_own_arguments_environment_session_and_log(
    place: Place, template: Template
) -> None:
    place.write("facts", FACTS)
    programs = [place.program(template, "facts", MARK="1")]
    place.write("others", FACTS)
    programs.append(place.program(template, "others", MARK="2"))
    await asyncio.gather(*(program.start() for program in programs))
    assert [await program.wait() for program in programs] == [3, 3]
    found = [json.loads(program.log_file.read_text()) for program in programs]
    for facts, name, mark in zip(found, ("facts", "others"), "12", strict=True):
        log = str(place.directory / "state" / "logs" / f"{name}.log")
        assert facts.pop("random")
        # Some builds of Python keep this open.
        descriptors = [path for path in facts.pop("descriptors") if path != "/dev/urandom"]
        assert descriptors == sorted(["/dev/null", log, log])
        assert facts == {
            "arguments": ["one", "two"],
            "main": "__main__",
            "mark": mark,
            "home": None,
            "directory": str(place.directory),
            "session": True,
            "name": name,
            "input": "",
            "shared": True,
        }


async def test_forks_draw_different_random_numbers_and_ids(
    place: Place, template: Template
) -> None:
    place.write("facts", FACTS)
    drawn = []
    for _ in range(2):
        program = place.program(template, "facts")
        await program.start()
        await program.wait()
        drawn += json.loads(program.log_file.read_text().splitlines()[-1])["random"]
    assert len(set(drawn)) == len(drawn)


async def test_the_template_has_one_thread(place: Place, template: Template) -> None:
    """A lock that another thread holds during a fork is never released in the fork."""
    place.write("sleep", SLEEP)
    program = place.program(template, "sleep")
    await program.start()
    assert parent(program).num_threads() == 1
    await program.stop()


async def test_a_fork_is_stopped_by_its_signals(place: Place, template: Template) -> None:
    place.write("sleep", SLEEP)
    program = place.program(template, "sleep")
    await program.start()
    await until_begun(program)
    ended = asyncio.create_task(program.wait())
    await program.stop()
    assert await ended == -signal.SIGTERM
    assert program.pid is None


async def test_one_that_is_killed_runs_its_present_source_in_an_interpreter_of_its_own(
    place: Place, template: Template
) -> None:
    place.write("sleep", SLEEP)
    program = place.program(template, "sleep")
    said: list[str] = []
    policy = RestartPolicy(backoff=0.01)
    async with supervising(say=said.append, changed=nothing, policy=policy) as supervisor:
        await supervisor.start(program, tier=0)
        assert is_fork(program)
        await until_begun(program)
        place.write("sleep", SLEEP.replace("begun", "edited"))
        os.kill(program.pid or 0, signal.SIGKILL)
        await until(lambda: "edited" in program.log_file.read_text())
        assert not is_fork(program)
    assert "ended with signal SIGKILL" in said[0]


async def test_a_restart_runs_an_edited_source(place: Place, template: Template) -> None:
    place.write("sleep", SLEEP)
    program = place.program(template, "sleep")
    async with supervising(say=print, changed=nothing) as supervisor:
        await supervisor.start(program, tier=0)
        await until_begun(program)
        place.write("sleep", SLEEP.replace("begun", "edited"))
        await supervisor.restart(program)
        await until(lambda: "edited" in program.log_file.read_text())


async def test_the_end_of_the_template_ends_its_forks_and_they_start_again(place: Place) -> None:
    place.write("sleep", SLEEP)
    said: list[str] = []
    policy = RestartPolicy(backoff=0.01)
    with running_template() as template:
        assert template is not None
        program = place.program(template, "sleep")
        async with supervising(say=said.append, changed=nothing, policy=policy) as supervisor:
            await supervisor.start(program, tier=0)
            first = psutil.Process(program.pid)
            parent(program).kill()
            await until(lambda: program.pid not in {None, first.pid})
            assert not is_fork(program)
            assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
            later = place.program(template, "sleep")
            await later.start()
            assert not is_fork(later)
            await later.stop()
    assert f"sleep (pid {first.pid}) ended with signal SIGKILL" in said[0]


async def test_a_fork_whose_start_is_cancelled_never_runs(place: Place) -> None:
    place.write("sleep", SLEEP)
    with running_template() as template:
        assert template is not None
        cancelled = place.program(template, "sleep")
        start = asyncio.create_task(template.fork(cancelled.spec, cancelled.log_file))
        for _ in range(20):  # turns of the loop; the template imports for much longer
            await asyncio.sleep(0)
        start.cancel()
        await asyncio.wait([start])
        other = place.program(template, "sleep")  # it is served after the cancelled one
        await other.start()
        await until_begun(other)
        await until(lambda: [one.pid for one in parent(other).children()] == [other.pid])
        assert other.log_file.read_text() == "begun\n"
        await other.stop()


async def test_the_template_ends_with_a_killed_supervisor() -> None:
    code = """
import time
from slipway.local.forks import running_template
with running_template():
    print("running", flush=True)
    time.sleep(600)
"""
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    await supervisor.stdout.readline()
    (template,) = psutil.Process(supervisor.pid).children()
    supervisor.kill()
    await supervisor.wait()
    await until(
        lambda: not template.is_running() or template.status() == psutil.STATUS_ZOMBIE,
    )


async def test_what_runs_no_module_is_not_forked(place: Place, template: Template) -> None:
    spec = ProgramSpec(
        name="code", command=(sys.executable, "-c", SLEEP), environment={}, directory=Path("/")
    )
    assert await template.fork(spec, place.directory / "log") is None


async def test_a_directory_that_is_missing_is_the_error_of_a_plain_start(
    place: Place, template: Template
) -> None:
    missing = Place(place.directory / "missing")
    program = missing.program(template, "lost")
    missing.directory.rename(place.directory / "moved")
    with pytest.raises(StartError, match=r"No such file or directory: '.*missing"):
        await program.start()
