import resource
import socket
import subprocess
import sys

from localservers.base import write_pid_file
from localservers.ports import free_port
from slipway.checks import Grade
from slipway.local import doctor
from slipway.local.doctor import machine_checks
from slipway.local.ports import with_free_ports
from slipway.local.servers import Servers
from slipway.local.status import Row, Status
from slipway.settings import SlipwaySettings
from slipway.state import StateDirectory

_STOPPED = Status(state="stopped")


def _checked(tmp_path, status, settings=None):
    settings = settings or with_free_ports(SlipwaySettings())
    return {check.name: check for check in machine_checks(settings, tmp_path / "state", status)}


def test_the_ports_of_a_stopped_system_are_free(tmp_path):
    assert _checked(tmp_path, _STOPPED)["ports"].grade is Grade.OK


def test_a_port_that_is_taken_is_named_with_its_holder_and_its_setting(tmp_path):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        settings = with_free_ports(SlipwaySettings()).model_copy(update={"valkey_port": port})
        check = _checked(tmp_path, _STOPPED, settings)[f"port {port}"]
    assert check.grade is Grade.FAULT
    assert "pid" in check.found
    assert "VALKEY_PORT=" in check.mend


def test_kafkas_port_does_not_matter_with_a_broker_of_ones_own(tmp_path):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        settings = with_free_ports(SlipwaySettings()).model_copy(
            update={
                "kafka_port": taken.getsockname()[1],
                "kafka_bootstrap_servers": "kafka.example.com:9092",
            }
        )
        assert _checked(tmp_path, _STOPPED, settings)["ports"].grade is Grade.OK


def test_the_log_of_a_process_that_is_not_well_is_named(tmp_path):
    row = Row(name="orders", pid=1, health="draining", address="a", memory_pss_bytes=None)
    status = Status(state="running", processes=[row])
    check = _checked(tmp_path, status)["orders"]
    assert (check.grade, check.found) == (Grade.FAULT, "draining")
    assert str(tmp_path / "state" / "logs" / "orders.log") in check.mend


def test_the_log_of_a_server_that_is_not_well_is_where_the_server_writes_it(tmp_path):
    row = Row(name="valkey", pid=None, health="not running", address="a", memory_pss_bytes=None)
    settings = SlipwaySettings(slipway_state_dir=tmp_path / "state")
    state = StateDirectory(settings.slipway_state_dir)
    servers = Servers(settings=settings, state=state, superuser_password="", local_postgres=True)
    for server in servers.all():
        row = row.model_copy(update={"name": server.name})
        check = _checked(tmp_path, Status(state="running", servers=[row]))[server.name]
        assert str(server.log_file) in check.mend


def test_a_process_of_a_system_that_starts_is_no_fault_yet(tmp_path):
    row = Row(name="orders", pid=None, health="not running", address="a", memory_pss_bytes=None)
    starting = Status(state="starting", processes=[row])
    check = _checked(tmp_path, starting)["orders"]
    assert (check.grade, check.found) == (Grade.WARNING, "not started yet")
    running = Status(state="running", processes=[row])
    assert _checked(tmp_path, running)["orders"].grade is Grade.FAULT


def test_what_an_earlier_run_left_is_named(tmp_path):
    assert _checked(tmp_path, _STOPPED)["leftovers"].grade is Grade.OK
    run = tmp_path / "state" / "run"
    run.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write_pid_file(run, "orders", process.pid)
        check = _checked(tmp_path, _STOPPED)["leftovers"]
    assert (check.grade, check.found) == (Grade.WARNING, "still run: orders")
    assert _checked(tmp_path, _STOPPED)["leftovers"].grade is Grade.OK


def test_a_server_that_an_earlier_run_left_is_named(tmp_path):
    directory = tmp_path / "state" / "servers" / "valkey"
    directory.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write_pid_file(directory, "valkey", process.pid)
        check = _checked(tmp_path, _STOPPED)["leftovers"]
    assert (check.grade, check.found) == (Grade.WARNING, "still run: valkey")


def test_each_machine_check_names_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 16))
    monkeypatch.setattr(doctor, "_free_disk", lambda _: 1)
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    checks = _checked(tmp_path, _STOPPED)
    assert (checks["open files"].grade, checks["free disk"].grade) == (Grade.WARNING,) * 2
    assert checks["Python"].grade is Grade.FAULT
    assert all(checks[name].mend for name in ("open files", "free disk", "Python"))
