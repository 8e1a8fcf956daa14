"""A process that dies is named and restarted; if restarts don't help, the system stops."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest

from localservers.ports import free_port
from slipway.errors import StartError, leaves
from slipway.local.probe import probe
from slipway.local.program import Program, ProgramSpec
from slipway.local.supervisor import RestartPolicy, supervising
from slipway.state import StateDirectory
from testkit.waiting import until

QUICK = RestartPolicy(backoff=0.01)


class Recorder:
    """Records the output, and can wait for a line."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.texts.append(text)
        self._news.set()

    async def until(self, part: str) -> str:
        async with asyncio.timeout(20):
            while True:
                for text in self.texts:
                    if part in text:
                        return text
                self._news.clear()
                await self._news.wait()


class Changes:
    def __init__(self) -> None:
        self.count = 0
        self._news = asyncio.Event()

    async def __call__(self) -> None:
        self.count += 1
        self._news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.count < count:
                self._news.clear()
                await self._news.wait()


class MakeProgram(Protocol):
    def __call__(self, code: str, **spec: Any) -> Program: ...


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def program(tmp_path: Path, recorder: Recorder) -> MakeProgram:
    state = StateDirectory(tmp_path / "state")
    state.make()

    def make(code: str, **spec: Any) -> Program:
        return Program(
            ProgramSpec(
                name="worker",
                command=(sys.executable, "-u", "-c", code),
                environment=os.environ,
                directory=tmp_path,
                **spec,
            ),
            state=state,
            say=recorder,
        )

    return make


async def test_one_that_is_killed_is_named_and_started_again(
    program: MakeProgram, recorder: Recorder
) -> None:
    changes = Changes()
    worker = program("import time; print('last words'); time.sleep(600)")
    async with supervising(say=recorder, changed=changes, policy=QUICK) as supervisor:
        await supervisor.start(worker, tier=0)
        first = worker.pid
        await until_it_says(worker, "last words")
        kill(worker)
        text = await recorder.until("ended with")
        assert text.startswith(f"worker (pid {first}) ended with signal SIGKILL")
        assert "ends:\n    last words\n" in text
        await recorder.until("worker is ready again")
        assert worker.pid not in {None, first}
    assert worker.pid is None
    assert changes.count == 2


async def test_one_that_fails_three_starts_in_a_row_stops_the_system(
    program: MakeProgram, recorder: Recorder, tmp_path: Path
) -> None:
    port = free_port()
    good = tmp_path / "good"
    good.touch()
    # After its file is gone, it is never ready, like a process with a wrong setting.
    worker = program(
        "import http.server, os\n"
        "if not os.path.exists('good'): raise SystemExit('no file called good')\n"
        f"address = ('127.0.0.1', {port})\n"
        "http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()",
        ready_url=f"http://127.0.0.1:{port}/good",
    )

    async def run() -> None:
        async with supervising(say=recorder, changed=Changes(), policy=QUICK) as supervisor:
            await supervisor.start(worker, tier=0)
            good.unlink()
            kill(worker)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    (error,) = leaves(caught.value)
    assert isinstance(error, StartError)
    assert "worker failed 3 starts in a row within 30 s" in str(error)
    assert "    no file called good" in str(error)
    assert worker.pid is None


async def test_one_that_ends_soon_after_it_was_ready_counts_as_failed(
    program: MakeProgram, recorder: Recorder
) -> None:
    worker = program("raise SystemExit('no way')")

    async def run() -> None:
        async with supervising(say=recorder, changed=Changes(), policy=QUICK) as supervisor:
            await supervisor.start(worker, tier=0)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    text = str(leaves(caught.value)[0])
    assert "worker failed 3 starts in a row within 30 s" in text
    assert text.endswith("    no way")
    assert len([text for text in recorder.texts if "ready again" in text]) == 2


async def test_one_that_is_killed_often_is_no_failure(
    program: MakeProgram, recorder: Recorder
) -> None:
    worker = program("import time; time.sleep(600)")
    changes = Changes()
    async with supervising(say=recorder, changed=changes, policy=QUICK) as supervisor:
        await supervisor.start(worker, tier=0)
        for count in range(2, 6):
            kill(worker)
            await changes.until(count)


async def test_a_first_start_has_its_attempts(
    program: MakeProgram, recorder: Recorder, tmp_path: Path
) -> None:
    worker = program("raise SystemExit(2)", ready_url="http://127.0.0.1:1/")

    async def run() -> None:
        async with supervising(say=recorder, changed=Changes(), policy=QUICK) as supervisor:
            await supervisor.start(worker, tier=0, attempts=2)

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert "worker ended before it was ready, with exit status 2" in str(leaves(caught.value)[0])
    assert len([text for text in recorder.texts if "Starting worker again" in text]) == 1
    assert list((tmp_path / "state" / "run").iterdir()) == []


async def test_one_that_is_never_ready_is_ended(program: MakeProgram) -> None:
    worker = program(
        "import time; time.sleep(600)", ready_url="http://127.0.0.1:1/", ready_limit=0.5
    )
    with pytest.raises(StartError, match=r"not ready within 0.5 s \(http://127.0.0.1:1/: Connect"):
        await worker.start()
    assert worker.pid is None


async def test_what_is_started_is_stopped_when_the_body_fails(
    program: MakeProgram, recorder: Recorder
) -> None:
    worker = program("import time; time.sleep(600)")

    async def run() -> None:
        async with supervising(say=recorder, changed=Changes()) as supervisor:
            await supervisor.start(worker, tier=0)
            raise ValueError

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await run()
    assert worker.pid is None


async def test_between_a_stop_and_a_kill_another_process_may_have_got_its_id(
    program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = program("import time; time.sleep(600)")
    await worker.start()
    await worker.stop()
    signalled = signalled_groups(monkeypatch)
    worker.kill()
    await worker.stop()
    assert signalled == []


async def test_while_one_waits_for_a_change_another_process_may_get_its_id(
    program: MakeProgram, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = program("raise SystemExit('no way')")
    async with supervising(say=recorder, changed=Changes(), policy=QUICK) as supervisor:
        await supervisor.start(worker, tier=0, held=True)
        await recorder.until("worker waits for the next change")
        signalled = signalled_groups(monkeypatch)
        worker.kill()
    assert signalled == []


def signalled_groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, _: signalled.append(group))
    return signalled


def kill(program: Program) -> None:
    assert program.pid is not None
    os.kill(program.pid, signal.SIGKILL)


async def until_it_says(program: Program, text: str) -> None:
    async with asyncio.timeout(20):
        while True:
            if text in program.log_file.read_text():
                return
            await asyncio.sleep(0.02)


async def answers(url: str) -> bool:
    return (await probe(url)).well


async def test_one_whose_port_another_process_answers_is_not_ready(
    program: MakeProgram, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "ready").touch()
    serve = (
        "import http.server\n"
        f"address = ('127.0.0.1', {port})\n"
        "http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    url = f"http://127.0.0.1:{port}/ready"
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", serve, cwd=tmp_path)
    try:
        await until(lambda: answers(url), seconds=20)
        with pytest.raises(StartError, match="another process listens at"):
            await program("import time; time.sleep(600)", ready_url=url, ready_limit=1).start()
        with pytest.raises(StartError, match=r"(?s)ended before it was ready.*in use"):
            await program(serve, ready_url=url).start()
    finally:
        other.kill()
        await other.wait()
    again = program(serve, ready_url=url)
    await again.start()
    await again.stop()


async def test_a_program_whose_pid_can_not_be_written_is_a_failed_start(
    program: MakeProgram, tmp_path: Path
):
    worker = program("import time; time.sleep(600)")
    worker._run.rename(tmp_path / "elsewhere")
    worker._run.touch()
    with pytest.raises(StartError, match=r"can't be started: .* has space"):
        await worker.start()
    assert worker.pid is None
