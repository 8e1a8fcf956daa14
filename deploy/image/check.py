"""Builds an image twice, and checks it: ``check.py PACKAGE``; ``make image-check`` checks orders.

Two builds without a cache must have the same files: names, modes, owners and contents. Their times
are those of the build, unless buildx rewrites them, as a release does. The image must be small, run
without root, without a writable file system and without capabilities, and stop on SIGTERM.
"""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
# Compressed, with the base. python:3.13-slim-trixie has some 45 MB; another base has its own size.
LIMIT_MB = 160
BASE = os.environ.get("PYTHON_IMAGE", "")
BASE_MB = 45.0
LABELS = ("title", "description", "licenses", "version", "revision", "source")
GRACE_SECONDS = 10
# The process needs no server to start: probes and metrics show what is missing.
SETTINGS = {
    "ENVIRONMENT": "development",
    "AUTH_ISSUER": "http://127.0.0.1:8000",
    "AUTH_JWKS_FILE": "/tmp/keys/public.jwks.json",  # noqa: S108 - in the container
    "DATABASE_URL": "postgresql://orders_runtime:none@127.0.0.1:1/slipway",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
Entry = tuple[object, ...]


def stop(message: str) -> NoReturn:
    """End with a message."""
    sys.exit(f"image-check: {message}")


def docker(*arguments: str | Path) -> str:
    """Run Docker, and return what it prints."""
    done = subprocess.run(  # noqa: S603 - our own arguments
        ["docker", *map(str, arguments)],  # noqa: S607 - whichever Docker is on the PATH
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"DOCKER_BUILDKIT": "1"},
    )
    if done.returncode:
        stop(f"docker {arguments[0]} failed: {done.stderr[-2000:]}")
    return done.stdout.strip()


def build(package: str, tag: str) -> None:
    """Build an image without a cache."""
    base = ("--build-arg", f"PYTHON_IMAGE={BASE}") if BASE else ()
    network = os.environ.get("BUILD_NETWORK", "default")
    docker(
        "build", "--no-cache", "--quiet", "--network", network, *base,
        "--build-arg", f"PACKAGE={package}", "--file", "deploy/image/Dockerfile", "--tag", tag, ".",
    )  # fmt: skip


def layers_above_base(tag: str, directory: Path) -> list[Path]:
    """Save an image, and return its layers without those of the base."""
    archive = directory / "image.tar"
    docker("save", "--output", archive, tag)
    with tarfile.open(archive) as saved:
        saved.extractall(directory, filter="data")
    layers = json.loads((directory / "manifest.json").read_text())[0]["Layers"]
    # The first layer that holds the environment is the first one of the recipe.
    for position, layer in enumerate(layers):
        with tarfile.open(directory / layer) as files:
            if "app/venv" in files.getnames():
                return [directory / name for name in layers[position:]]
    stop(f"{tag} has no layer with /app/venv")


def entries(layers: list[Path]) -> Iterator[Entry]:
    """Yield what two builds must have in common, for each file of each layer."""
    for number, layer in enumerate(layers):
        with tarfile.open(layer) as files:
            for one in files:
                content = files.extractfile(one) if one.isfile() else None
                digest = hashlib.sha256(content.read()).hexdigest() if content else ""
                yield number, one.name, one.type, one.mode, one.uid, one.gid, one.linkname, digest


def compressed_mb(layers: list[Path]) -> float:
    """Return the size in a registry."""
    return sum(len(gzip.compress(layer.read_bytes(), 6)) for layer in layers) / 1e6


def check_configuration(config: dict[str, Any]) -> None:
    """Check user, start command and labels."""
    if config["User"] != "10001:10001":
        stop(f"the user is {config['User']!r}; it must be a number other than 0")
    if config["Entrypoint"] != ["python", "-m"]:
        stop(f"the entry point is {config['Entrypoint']}; it must need no shell")
    for label in LABELS:
        if f"org.opencontainers.image.{label}" not in config["Labels"]:
            stop(f"the label org.opencontainers.image.{label} is missing")


def check_end(tag: str, package: str) -> None:
    """Run a service as PID 1 without root, capabilities or a writable file system, and stop it."""
    environment = [part for name, value in SETTINGS.items() for part in ("-e", f"{name}={value}")]
    hardened = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    name = f"image-check-{os.getpid()}"
    with tempfile.TemporaryDirectory() as keys:
        Path(keys).chmod(0o777)
        subprocess.run(  # noqa: S603 - our own command
            [
                ROOT / ".venv/bin/slipway",
                "keys",
                "make",
                f"--private={keys}/private.json",
                f"--public={keys}/public.jwks.json",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (Path(keys) / "public.jwks.json").chmod(0o644)
        docker(
            "run", "--detach", "--name", name, "--network", "none", *hardened, "--tmpfs", "/tmp",  # noqa: S108 - the container's own
            "--volume", f"{keys}:/tmp/keys:ro", *environment, tag, "chassis.run", package, "api",
        )  # fmt: skip
        try:
            wait_until_live(name)
            shell = docker("exec", name, "cat", "/proc/1/comm")
            if not shell.startswith("python"):
                stop(f"PID 1 is {shell}, not Python")
            started = time.monotonic()
            docker("stop", "--time", str(GRACE_SECONDS), name)
            seconds = time.monotonic() - started
            status = docker("inspect", "--format", "{{.State.ExitCode}}", name)
            if status != "0":
                stop(f"docker stop: status {status} after {seconds:.1f} s; it must be 0")
        finally:
            docker("rm", "--force", name)


def wait_until_live(name: str) -> None:
    """Wait until the process serves its probes."""
    probe = "from urllib.request import urlopen; urlopen('http://127.0.0.1:9000/healthz/live')"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        command = ["docker", "exec", name, "python", "-c", probe]
        if not subprocess.run(command, capture_output=True, check=False).returncode:  # noqa: S603 - our own
            return
        if docker("inspect", "--format", "{{.State.Running}}", name) != "true":
            break
        time.sleep(0.5)
    logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False)  # noqa: S603, S607 - our own
    stop(f"it does not start: {(logs.stdout + logs.stderr)[-2000:]}")


def main(package: str, *built: str) -> None:
    """Check an image; `built` names two images that were built already."""
    tags = built or (f"slipway/{package}:check-1", f"slipway/{package}:check-2")
    try:
        for tag in () if built else tags:
            build(package, tag)
        contents, size = [], 0.0
        for tag in tags:
            with tempfile.TemporaryDirectory() as directory:
                layers = layers_above_base(tag, Path(directory))
                contents.append(set(entries(layers)))
                size = size or compressed_mb(layers)
        if different := sorted(str(one[1]) for one in contents[0] ^ contents[1]):
            stop(f"two builds differ in {len(different)} entries: {different[:10]}")
        if size + BASE_MB > LIMIT_MB:
            stop(f"{size:.0f} MB and the base's {BASE_MB:.0f} are over {LIMIT_MB} MB")
        check_configuration(json.loads(docker("inspect", tags[0]))[0]["Config"])
        check_end(tags[0], package)
    finally:
        if not built:
            docker("rmi", "--force", *tags)
    print(  # noqa: T201 - a command
        f"{package}: two builds have the same {len(contents[0])} entries;"
        f" {size:.1f} MB compressed above the base; it stops on SIGTERM with status 0"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
