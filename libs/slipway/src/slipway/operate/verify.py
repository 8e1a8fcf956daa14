"""Compares the services with each other: joins the facts that each one's own process writes."""

import json
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

from chassis.verification.facts import Kind, read_fact
from chassis.verification.judging import Finding, Judge
from chassis.verification.sorting import SortedFacts
from slipway.errors import SlipwayError

_SHOWN = 100
_ERROR_BYTES = 1000


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


def collect(source: Source, into: SortedFacts) -> None:
    """Run the command of a source, and add its facts.

    Raises:
        SlipwayError: the command failed, or its facts have no end.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command
                source.command,
                env=source.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            message = f"{source.command[0]} can't be run: {error}. Check --via."
            raise SlipwayError(message) from error
        with process:
            try:
                ended = _add_lines(source, process.stdout or (), into)
            except BaseException:
                process.kill()
                raise
        if process.returncode or not ended:
            errors.seek(max(0, errors.tell() - _ERROR_BYTES))
            message = (
                f"The facts of {source.service} are incomplete. The command ended with status "
                f"{process.returncode}: {errors.read().decode(errors='replace').strip()}"
            )
            raise SlipwayError(message)


def _add_lines(source: Source, lines: Iterable[bytes], into: SortedFacts) -> bool:
    """Add each fact, and return whether the last one was the end."""
    ended = False
    for line in lines:
        try:
            fact = read_fact(line)
        except ValueError as error:
            message = f"{source.service} wrote a line that is no fact: {line[:200]!r}"
            raise SlipwayError(message) from error
        ended = fact.kind is Kind.END
        if not ended:
            into.add(fact)
    return ended


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


def _silent(what: str) -> AbstractContextManager[None]:
    del what
    return nullcontext()


def verify(
    sources: Sequence[Source],
    *,
    shown: int = _SHOWN,
    step: Callable[[str], AbstractContextManager[None]] = _silent,
) -> Verified:
    """Collect the facts of services, one after the other, and judge them.

    Args:
        sources: the services.
        shown: how many findings are kept.
        step: is open while a part runs, with its name.

    Raises:
        SlipwayError: the facts of a service can't be read.
    """
    judge, findings, found = Judge(), list[Finding](), 0
    with SortedFacts() as facts:
        for source in sources:
            with step(f"facts of {source.service}"):
                collect(source, facts)
        with step("comparison"):
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
