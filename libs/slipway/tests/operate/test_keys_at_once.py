"""Two commands that change the same key files at once: two operators, or a job that ran twice."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chassis.auth import keys
from slipway.errors import SlipwayError
from slipway.operate.keys import KeyFiles, make_key_files, retire_keys, rotate_keys

SECONDS = 0.3
type Change = Callable[[KeyFiles], Any]


@pytest.fixture
def files(tmp_path: Path) -> KeyFiles:
    public = tmp_path / "public"
    public.mkdir()
    files = KeyFiles(private=tmp_path / "signing.jwks.json", public=public / "public.jwks.json")
    make_key_files(files)
    return files


def kids(file: Path) -> list[str]:
    return list(keys.read_key_set(file))


@contextmanager
def between_its_steps(
    monkeypatch: pytest.MonkeyPatch, step: int, other: Callable[[], Any]
) -> Iterator[list[Any]]:
    """Start `other` at a step of the block's change; yield its outcome, which is there at the end.

    The block goes on if `other` waits for it.
    """
    outcome: list[Any] = []
    calls: list[Any] = []
    write = keys.write_key_set

    def run() -> None:
        try:
            outcome.append(other())
        except SlipwayError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)

    def then_write(*arguments: Any, **options: Any) -> str:
        if threading.current_thread() is not thread:
            calls.append(arguments)
            if len(calls) == step:
                thread.start()
                thread.join(SECONDS)
        return write(*arguments, **options)

    monkeypatch.setattr(keys, "write_key_set", then_write)
    yield outcome
    thread.join()


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("second", [rotate_keys, retire_keys])
@pytest.mark.parametrize("first", [rotate_keys, retire_keys])
def test_a_second_change_begins_before_the_first_has_ended(
    files: KeyFiles, monkeypatch: pytest.MonkeyPatch, first: Change, second: Change, step: int
) -> None:
    if first is retire_keys:
        rotate_keys(files)
    with between_its_steps(monkeypatch, step, lambda: second(files)) as outcome:
        result = first(files)
    assert kids(files.private) == kids(files.public)
    # As if one had run after the other: only the second of two rotations is refused.
    assert isinstance(outcome[0], SlipwayError) == (first is second is rotate_keys)
    removed = [kid for one in (result, *outcome) if isinstance(one, list) for kid in one]
    assert not set(removed) & set(kids(files.private))
    added = {one for one in (result, *outcome) if isinstance(one, str)}
    assert added <= set(kids(files.private))


def test_a_key_is_made_while_another_process_rotates_it(
    files: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public file was missing when it looked."""
    files.public.unlink()

    def make_and_rotate() -> str:
        make_key_files(files)
        return rotate_keys(files)

    with between_its_steps(monkeypatch, 1, make_and_rotate) as outcome:
        make_key_files(files)
    assert kids(files.private) == kids(files.public)
    assert outcome[0] in kids(files.private)


def test_a_change_leaves_nothing_else_behind(files: KeyFiles) -> None:
    rotate_keys(files)
    retire_keys(files)
    found = {path.name for path in files.private.parent.rglob("*") if path.is_file()}
    assert found == {files.private.name, files.public.name}
