"""Compares the services with each other: joins the facts that each one's own process writes."""

import asyncio
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from chassis.verification.facts import Kind, read_fact
from chassis.verification.judging import Finding, Judge
from chassis.verification.sorting import SortedFacts
from slipway.errors import SlipwayError

_SHOWN = 100
_LINE_BYTES = 1024 * 1024
_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The command that writes the facts of one service.

    Attributes:
        service: its name.
        command: with its arguments.
        environment: of the command; None: that of this process.
    """

    service: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None


def source_via(service: str, via: str, *, rate: int) -> Source:
    """Return the command in the service's own pod or container.

    Args:
        service: the service's name, which replaces ``{service}`` in `via`.
        via: the beginning of the command, as in a shell.
        rate: how many rows and messages it reads in a second, at most.
    """
    beginning = shlex.split(via.replace("{service}", service))
    facts = ("python", "-m", "chassis.run", service, "facts", "--rate", str(rate))
    return Source(service=service, command=(*beginning, *facts))


async def collect(source: Source, into: SortedFacts) -> None:
    """Run the command of a source, and add its facts.

    Raises:
        SlipwayError: the command failed, or its facts have no end.
    """
    process = await asyncio.create_subprocess_exec(
        *source.command,
        env=source.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    try:
        reading_errors = asyncio.create_task(_last_of(process.stderr))
        ended = await _add_lines(source, process.stdout, into)
        error, status = await reading_errors, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status or not ended:
        message = (
            f"The facts of {source.service} are incomplete: `{shlex.join(source.command[:4])} …` "
            f"ended with status {status}. {error.strip()}"
        )
        raise SlipwayError(message)


async def _add_lines(source: Source, lines: asyncio.StreamReader | None, into: SortedFacts) -> bool:
    """Add each fact, and return whether the last one was the end."""
    ended = False
    while lines is not None and (line := await lines.readline()):
        try:
            fact = read_fact(line)
        except ValueError as error:
            message = f"{source.service} wrote a line that is no fact: {line[:200]!r}"
            raise SlipwayError(message) from error
        ended = fact.kind is Kind.END
        if not ended:
            into.add(fact)
    return ended


async def _last_of(stream: asyncio.StreamReader | None) -> str:
    """Read a stream to its end, and return its last characters."""
    kept = b""
    while stream is not None and (chunk := await stream.read(_LINE_BYTES)):
        kept = (kept + chunk)[-_ERROR_CHARACTERS:]
    return kept.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a run compared and found; `findings` has the first ones."""

    findings: Sequence[Finding]
    found: int
    waiting: int
    counts: Mapping[str, Mapping[str, int]]

    def to_json(self) -> str:
        """Return it as JSON for programs."""
        return json.dumps(
            {
                "found": self.found,
                "findings": [asdict(finding) for finding in self.findings],
                "parked": self.waiting,
                "compared": self.counts,
            },
            indent=2,
        )


async def verify(sources: Sequence[Source], *, shown: int = _SHOWN) -> Verified:
    """Collect the facts of services, one after the other, and judge them.

    Args:
        sources: the services.
        shown: how many findings are kept.

    Raises:
        SlipwayError: the facts of a service can't be read.
    """
    judge, findings, found = Judge(), list[Finding](), 0
    with SortedFacts() as facts:
        for source in sources:
            await collect(source, facts)
        for finding in judge.findings(same for _, same in facts.by_key()):
            found += 1
            if len(findings) < shown:
                findings.append(finding)
    counts: dict[str, dict[str, int]] = {
        group: {kind.value: number for kind, number in sorted(kinds.items()) if kind in _COUNTED}
        for group, kinds in judge.counts.items()
    }
    return Verified(findings=findings, found=found, waiting=judge.waiting, counts=counts)


_COUNTED = frozenset({Kind.ROW, Kind.EVENT, Kind.CAUSE, Kind.HANDLED, Kind.EFFECT})
