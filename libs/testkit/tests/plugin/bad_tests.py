"""Tests that must fail, beside tests that must pass; ``test_plugin`` runs this file."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chassis.auth.keys import generate_key_sets, read_key_set


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(generate_key_sets()[1])
    return file


async def test_good():
    task = asyncio.create_task(asyncio.sleep(0))
    await task


async def broken(holder: list[Any]) -> None:
    error = ValueError("lost")
    holder.append(error)
    raise error


async def test_lost():
    asyncio.create_task(broken([]))  # noqa: RUF006 - losing it is the point
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_lost_in_a_cycle():
    holder: list[Any] = []
    holder.append(asyncio.create_task(broken(holder)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_after_lost():
    await asyncio.sleep(0)


async def test_error_in_callback():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)


async def test_blocking(key_file: Path):
    read_key_set(key_file)


async def test_blocking_in_a_thread(key_file: Path):
    assert await asyncio.to_thread(read_key_set, key_file)


def test_blocking_outside_a_coroutine(key_file: Path):
    assert read_key_set(key_file)


async def test_never_awaited():
    asyncio.sleep(0)  # type: ignore[unused-coroutine]  # what is to be found


def test_service_without_a_folder(service_directory: Path):
    assert service_directory.name
