"""The ports of a system: moved together, and named together if other programs have them."""

import asyncio
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace

import pytest

from localservers.base import write_pid_file
from slipway.console import Reporter
from slipway.errors import SlipwayError
from slipway.local.plan import local_plan
from slipway.local.ports import port_names, refuse_taken_ports, taken_ports, with_free_ports
from slipway.local.servers import Servers
from slipway.local.system import run_system
from slipway.settings import SECOND_SYSTEM, SlipwaySettings
from slipway.state import StateDirectory


@pytest.fixture
def held():
    """Listen at a free port until the end of the test, and return it."""
    with ExitStack() as stack:

        def hold():
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            return server.getsockname()[1]

        yield hold


@pytest.fixture
def plan(tmp_path):
    """The plan of a system on free ports; made here, since reading settings would block a loop."""
    usual = local_plan()
    settings = usual.settings.model_copy(update={"slipway_state_dir": tmp_path})
    return replace(usual, settings=with_free_ports(settings))


def test_an_offset_moves_every_port_that_is_not_set_itself(monkeypatch):
    usual = SlipwaySettings()
    monkeypatch.setenv("SLIPWAY_PORT_OFFSET", "1000")
    monkeypatch.setenv("VALKEY_PORT", "7000")
    moved = SlipwaySettings()
    names = [name for name in port_names() if name != "valkey_port"]
    assert [getattr(moved, name) for name in names] == [
        getattr(usual, name) + 1000 for name in names
    ]
    assert (moved.valkey_port, moved.gateway_url) == (7000, "http://127.0.0.1:9000")


def test_the_offset_of_the_advice_moves_no_port_to_one_of_a_first_system(monkeypatch):
    first = {getattr(SlipwaySettings(), name) for name in port_names()}
    monkeypatch.setenv(*SECOND_SYSTEM.split("="))
    second = {getattr(SlipwaySettings(), name) for name in port_names()}
    assert not first & second


@pytest.mark.parametrize("wrong", ["-1", "60000", "much"])
def test_an_offset_out_of_bounds_is_refused_by_its_name(monkeypatch, wrong):
    monkeypatch.setenv("SLIPWAY_PORT_OFFSET", wrong)
    with pytest.raises(ValueError, match="slipway_port_offset"):
        SlipwaySettings()


async def test_a_start_names_all_ports_that_are_taken_before_it_starts_anything(
    plan, tmp_path, held
):
    ports = {"smtp_port": held(), "orders_internal_port": held()}
    blocked = replace(plan, settings=plan.settings.model_copy(update=ports))
    with pytest.raises(SlipwayError) as refused:
        async with run_system(blocked, reporter=Reporter.silent()):
            pass
    for name, port in ports.items():
        assert f"{name.upper()}={port}: " in str(refused.value)
    assert SECOND_SYSTEM in str(refused.value)
    assert await asyncio.to_thread(lambda: list((tmp_path / "servers").glob("*/*.log"))) == []


def test_the_ports_of_servers_of_ones_own_do_not_matter(held):
    ports = {"kafka_port": held(), "postgres_port": held()}
    settings = with_free_ports(SlipwaySettings()).model_copy(update=ports)
    assert list(taken_ports(settings)) == ["kafka_port", "postgres_port"]
    elsewhere = settings.model_copy(update={"kafka_bootstrap_servers": "kafka.example.com:9092"})
    refuse_taken_ports(elsewhere, own_postgres=True)


async def test_a_server_that_a_killed_run_left_is_ended_before_the_ports_are_looked_at(
    plan, tmp_path
):
    servers = Servers(
        settings=plan.settings,
        state=StateDirectory(tmp_path),
        superuser_password="p",
        local_postgres=False,
    )
    directory = servers.valkey.directory
    await asyncio.to_thread(directory.mkdir, parents=True)
    left = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    await asyncio.to_thread(write_pid_file, directory, servers.valkey.name, left.pid)
    await asyncio.to_thread(servers.end_leftovers)
    assert await left.wait() < 0
