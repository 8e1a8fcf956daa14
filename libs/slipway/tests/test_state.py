"""What was made once stays; only the owner may read secrets; a directory has one system."""

import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from chassis.auth import keys
from slipway.errors import AlreadyRunningError, SlipwayError
from slipway.operate.keys import KeyFiles, make_key_files, make_keys
from slipway.state import Record, StateDirectory, find_root, write_new, write_whole


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    state = StateDirectory(tmp_path / "state")
    state.make()
    return state


def test_passwords_are_made_once(state: StateDirectory) -> None:
    first = state.passwords(("a",))
    second = state.passwords(("a", "b"))
    assert second["a"] == first["a"]
    assert second["b"] != second["a"]
    file = state.keys / "passwords.json"
    assert file.stat().st_mode & 0o077 == 0
    assert state.path.stat().st_mode & 0o077 == 0


def test_between_the_look_and_the_writing_another_process_makes_a_password(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two passwords of one role, the database would have the one and the file the other."""
    make = secrets.token_urlsafe
    theirs: list[dict[str, str]] = []
    other = threading.Thread(target=lambda: theirs.append(state.passwords(("a", "b"))))

    def make_late(size: int) -> str:
        if not theirs and not other.is_alive() and threading.current_thread() is not other:
            other.start()
            other.join(0.3)
        return make(size)

    monkeypatch.setattr(secrets, "token_urlsafe", make_late)
    ours = state.passwords(("a",))
    other.join()
    assert theirs == [state.passwords(())]
    assert ours["a"] == theirs[0]["a"]


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"a": 1}', "\x00"])
def test_a_damaged_file_of_passwords_is_named(state: StateDirectory, damaged: str) -> None:
    file = state.keys / "passwords.json"
    file.write_text(damaged)
    with pytest.raises(SlipwayError, match=rf"{file} is damaged.*delete {state.path} "):
        state.passwords(("a",))
    assert file.read_text() == damaged


def test_keys_are_made_once(state: StateDirectory) -> None:
    files = make_keys(state)
    before = files.private.read_text()
    assert make_keys(state) == files
    assert files.private.read_text() == before
    assert '"d"' in before
    assert '"d"' not in files.public.read_text()
    assert files.private.stat().st_mode & 0o077 == 0


def test_between_the_look_and_the_writing_another_process_makes_the_keys(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = KeyFiles(private=state.keys / "private", public=state.keys / "public")
    generate = keys.generate_key_sets
    others: list[str] = []

    def generate_late() -> tuple[str, str]:
        monkeypatch.undo()
        assert make_key_files(files)
        others.append(files.private.read_text())
        return generate()

    monkeypatch.setattr(keys, "generate_key_sets", generate_late)
    assert not make_key_files(files)
    assert [files.private.read_text()] == others
    private, public = keys.read_key_set(files.private), keys.read_key_set(files.public)
    assert list(private) == list(public)
    assert sorted(path.name for path in state.keys.iterdir()) == ["private", "public"]


@pytest.mark.parametrize("write", [write_whole, write_new])
def test_a_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], Any]
) -> None:
    """After a power failure it is the old file or the new one; a rename alone may leave none."""
    file = tmp_path / "file"
    flushed: list[tuple[int, bool]] = []
    fsync = os.fsync

    def flush(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, file.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    write(file, "text")
    assert file.read_text() == "text"
    # Then its name is, too: of two files, the first is there if the second is.
    assert flushed == [(file.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_two_writers_with_the_same_pid_share_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers share a volume, and each of them has a process 1."""
    file = tmp_path / "file"
    replace = Path.replace

    def replace_late(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        write_whole(file, "of the other")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_late)
    write_whole(file, "ours")
    assert file.read_text() == "ours"


@pytest.mark.parametrize("write", [write_whole, write_new])
def test_nothing_is_left_of_a_file_that_could_not_be_written(
    tmp_path: Path, write: Callable[[Path, str], Any]
) -> None:
    file = tmp_path / "file"
    file.mkdir()
    with suppress(OSError):
        write(file, "a private key")
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "other", "half \ud800")
    assert list(tmp_path.iterdir()) == [file]


def test_one_at_a_time(state: StateDirectory) -> None:
    with state.lock():
        with pytest.raises(AlreadyRunningError, match="is starting or stopping"), state.lock():
            pass
        created = psutil.Process().create_time()
        record = Record(
            pid=os.getpid(), create_time=created, gateway_url="http://g", traces_url="http://t"
        )
        state.write(record)
        with (
            pytest.raises(AlreadyRunningError, match=rf"pid {os.getpid()}, http://g"),
            state.lock(),
        ):
            pass
    with state.lock():
        pass


def test_a_start_does_not_fail_while_another_process_looks_at_the_lock(
    state: StateDirectory,
) -> None:
    other = FileLock(state.path / "up.lock", thread_local=False)
    other.acquire()
    look = threading.Timer(0.05, other.release)
    look.start()
    with state.lock():
        look.join()
    assert not state.is_held()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = StateDirectory(tmp_path / "file")
    expected = rf"{state.path} can't be used: .*SLIPWAY_STATE_DIR"
    with pytest.raises(SlipwayError, match=expected), state.lock():
        pass
    with pytest.raises(SlipwayError, match=expected):
        state.read()


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "services" / "orders").mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert find_root(tmp_path / "services" / "orders") == tmp_path
    with pytest.raises(SlipwayError, match="is not in a Slipway repository"):
        find_root(tmp_path.parent)
