"""Kafka's jars: downloaded once from Maven Central into the user's cache.

``jgo`` reads the POMs and downloads the files in pure Python. We use only its Maven layer: the
layer above it looks for a Java, and downloads one if it finds none.
"""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from localservers.base import ServerError

VERSION = "4.1.0"
# slf4j in the version of Kafka's own API: the newest release on Maven Central is an alpha.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_CONNECTIONS = 8

type Progress = Callable[[str], None]
type Fetch = Callable[[Path, Progress], list[Path]]


def cache_directory() -> Path:
    """Return the cache folder: XDG_CACHE_HOME, or ``~/.cache``.

    Raises:
        ServerError: XDG_CACHE_HOME is not set, and this user has no home.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:  # a container's user that /etc/passwd does not have
        message = (
            f"There is no directory for the cache of Kafka's jars: {error} Set XDG_CACHE_HOME to a "
            "directory that you may write to."
        )
        raise ServerError(message) from error
    return Path(base) / "slipway" / "kafka" / VERSION


def resolve_jars(progress: Progress | None = None, *, fetch: Fetch | None = None) -> list[Path]:
    """Return Kafka's jars from the cache, or download them; one process at a time.

    Args:
        progress: called with a message when something is downloaded.
        fetch: puts the jars somewhere under a folder; by default from Maven Central.

    Raises:
        ServerError: the download failed, or the cache can't be written.
    """
    directory = cache_directory()
    if jars := _known(directory):
        return jars
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / "lock"):
            jars = _known(directory)
            if jars is None:
                jars = _fill(directory, progress or _say_nothing, fetch or fetch_from_maven_central)
            return jars
    except OSError as error:
        message = (
            f"The cache of Kafka's jars, {directory}, can't be used: {error}. Set XDG_CACHE_HOME "
            "to a directory that you may write to."
        )
        raise ServerError(message) from error


def _say_nothing(_: str) -> None:
    pass


def _known(directory: Path) -> list[Path] | None:
    """Return the listed files, or None if one is missing or truncated."""
    try:
        listed = json.loads((directory / "jars.json").read_text(encoding="utf-8"))
        jars = {directory / "jars" / name: size for name, size in listed.items()}
        whole = all(jar.stat().st_size == size for jar, size in jars.items())
    except (OSError, ValueError, AttributeError):
        return None
    return sorted(jars) if whole and jars else None


def _fill(directory: Path, progress: Progress, fetch: Fetch) -> list[Path]:
    # An interrupted download leaves a truncated file, which jgo would accept as complete: each
    # attempt starts from an empty folder.
    partial, final = directory / "partial", directory / "jars"
    for old in (partial, final):
        shutil.rmtree(old, ignore_errors=True)
    final.mkdir()
    partial.mkdir()
    try:
        fetched = fetch(partial, progress)
    except Exception as error:
        message = (
            f"Kafka's jars could not be downloaded from Maven Central to {directory}: {error}. "
            "The first start needs a connection to it. Connect, or set "
            "KAFKA_BOOTSTRAP_SERVERS to a broker of your own."
        )
        raise ServerError(message) from error
    jars = sorted(jar.rename(final / jar.name) for jar in fetched)
    sizes = {jar.name: jar.stat().st_size for jar in jars}
    (partial / "jars.json").write_text(json.dumps(sizes, indent=1), encoding="utf-8")
    (partial / "jars.json").rename(directory / "jars.json")
    shutil.rmtree(partial)
    return jars


def fetch_from_maven_central(directory: Path, progress: Progress) -> list[Path]:
    """Download the jars into a repository under `directory`; return their paths."""
    from jgo.maven import MavenContext  # noqa: PLC0415 - slow, and needed once on a machine

    context = MavenContext(repo_cache=directory / "repository")
    progress("reading what Kafka depends on")
    wanted = [context.create_dependency(f"{one}:::compile") for one in COORDINATES]
    inputs, others = context.resolver.resolve(wanted)
    needed = [*inputs, *(one for one in others if one.scope in {"compile", "runtime"})]
    jars: list[Path] = []
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for jar in pool.map(lambda one: Path(one.artifact.resolve()), needed):
            jars.append(jar)
            progress(f"{len(jars)} of {len(needed)} jars")
    return jars
