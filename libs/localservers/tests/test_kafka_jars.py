"""The cache of Kafka's jars, with small generated files in place of the real ones."""

import os
import subprocess
import sys

import pytest

from localservers import ServerError
from localservers.kafka_jars import (
    VERSION,
    cache_directory,
    fetch_from_maven_central,
    resolve_jars,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_directory()


class Fetch:
    def __init__(self, *names: str) -> None:
        self.names = names
        self.times = 0

    def __call__(self, directory, progress):
        self.times += 1
        assert not list(directory.iterdir())
        progress(f"{len(self.names)} jars")
        jars = [directory / name for name in self.names]
        for jar in jars:
            jar.write_bytes(b"jar")
        return jars


def test_the_cache_is_where_the_user_keeps_caches(tmp_path, monkeypatch):
    assert tmp_path in cache_directory().parents
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tmp_path / "home" / ".cache" in cache_directory().parents


def test_a_user_without_a_home_is_told_to_set_a_cache(monkeypatch):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_011)  # no user of /etc/passwd
    with pytest.raises(ServerError, match="XDG_CACHE_HOME"):
        cache_directory()


def test_jars_are_fetched_once(cache):
    fetch = Fetch("b.jar", "a.jar")
    steps: list[str] = []
    jars = resolve_jars(steps.append, fetch=fetch)
    assert [jar.name for jar in jars] == ["a.jar", "b.jar"]
    assert resolve_jars(steps.append, fetch=fetch) == jars
    assert fetch.times == 1
    assert steps == ["2 jars"]
    assert not (cache / "partial").exists()


def test_a_jar_that_was_deleted_is_fetched_again():
    fetch = Fetch("a.jar", "b.jar")
    resolve_jars(fetch=fetch)[0].unlink()
    assert all(jar.exists() for jar in resolve_jars(fetch=fetch))
    assert fetch.times == 2


def test_a_jar_that_was_cut_short_is_fetched_again():
    fetch = Fetch("a.jar", "b.jar")
    resolve_jars(fetch=fetch)[0].write_bytes(b"j")
    assert {jar.read_bytes() for jar in resolve_jars(fetch=fetch)} == {b"jar"}


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", '{"a.jar": '])
def test_a_list_that_is_damaged_is_made_again(cache, content):
    fetch = Fetch("a.jar")
    resolve_jars(fetch=fetch)
    (cache / "jars.json").write_text(content)
    assert resolve_jars(fetch=fetch)[0].read_bytes() == b"jar"


def test_what_a_killed_download_left_is_not_taken_for_whole(cache):
    (cache / "partial").mkdir(parents=True)
    (cache / "partial" / "a.jar").write_bytes(b"half")
    assert resolve_jars(fetch=Fetch("a.jar"))[0].read_bytes() == b"jar"


def test_a_failure_says_where_what_and_the_way_out(cache):
    def fail(_, __):
        message = "no route to host"
        raise ConnectionError(message)

    with pytest.raises(ServerError) as caught:
        resolve_jars(fetch=fail)
    message = str(caught.value)
    for part in ("no route to host", str(cache), "Maven Central", "KAFKA_BOOTSTRAP_SERVERS"):
        assert part in message
    assert resolve_jars(fetch=Fetch("a.jar"))


def test_maven_central_out_of_reach_is_an_error_soon(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(ServerError, match="KAFKA_BOOTSTRAP_SERVERS"):
        resolve_jars(fetch=fetch_from_maven_central)


CONCURRENT = """
import pathlib, sys, time
from localservers.kafka_jars import resolve_jars

def fetch(directory, progress):
    with open(sys.argv[1], "a") as log:
        log.write("fetched\\n")
    time.sleep(0.3)
    (directory / "a.jar").write_bytes(b"jar")
    return [directory / "a.jar"]

print(resolve_jars(fetch=fetch))
"""


def test_two_processes_at_once_fetch_once(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", CONCURRENT, str(log)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(2)
    ]
    outputs = [one.communicate()[0] for one in both]
    assert outputs[0] == outputs[1] != ""
    assert log.read_text() == "fetched\n"


@pytest.mark.parametrize("occupied", ["slipway", f"slipway/kafka/{VERSION}/lock"])
def test_a_cache_that_cannot_be_written_is_named_with_its_setting(tmp_path, cache, occupied):
    # Root may write anywhere, so the place is one where not even root can create the path.
    if occupied == "slipway":
        (tmp_path / occupied).touch()
    else:
        (tmp_path / occupied).mkdir(parents=True)
    with pytest.raises(ServerError) as caught:
        resolve_jars(fetch=Fetch("a.jar"))
    for part in (str(cache), "XDG_CACHE_HOME"):
        assert part in str(caught.value)


def test_a_whole_cache_needs_no_lock_since_it_may_be_read_only(cache):
    jars = resolve_jars(fetch=Fetch("a.jar"))
    (cache / "lock").unlink(missing_ok=True)
    (cache / "lock").mkdir()  # not even root can lock it
    assert resolve_jars(fetch=Fetch("a.jar")) == jars
