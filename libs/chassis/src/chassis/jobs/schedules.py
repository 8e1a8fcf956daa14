"""When a periodic job runs: by a cron expression in UTC, or by an interval."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from chassis.jobs.arguments import JobArguments

_PROBE = datetime.fromisoformat("2024-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A periodic job; set either `cron` or `every`.

    Attributes:
        arguments: the arguments of each job.
        cron: five fields, in UTC: ``30 3 * * *``.
        every: the time from one run to the next.
        name: identifies the schedule in the service; by default the kind's name.

    Raises:
        ValueError: neither or both are set, `cron` never matches, or `every` is under 1 s.
    """

    arguments: JobArguments
    cron: str | None = None
    every: timedelta | None = None
    name: str = field(default="")

    def __post_init__(self) -> None:
        """Check the declaration, and set the default name."""
        if not self.name:
            object.__setattr__(self, "name", self.arguments.kind)
        if (self.cron is None) == (self.every is None):
            message = f"the schedule {self.name} needs either cron or every"
            raise ValueError(message)
        if self.every is not None and self.every < timedelta(seconds=1):
            message = f"the schedule {self.name} has every={self.every}: 1 s is the least"
            raise ValueError(message)
        if self.cron is not None:
            try:
                next(CronSim(self.cron, _PROBE))
            except (CronSimError, StopIteration) as error:
                message = (
                    f"the schedule {self.name} has cron={self.cron!r}, which names no time "
                    f"({error}): give five fields, such as '30 3 * * *' for 03:30 UTC"
                )
                raise ValueError(message) from error

    @property
    def timing(self) -> str:
        """The timing as text; a different text means that the schedule was changed."""
        if self.every is not None:
            return f"every {self.every.total_seconds():g} s"
        return f"cron {self.cron}"

    def next_run(self, *, now: datetime, due: datetime | None = None) -> datetime:
        """Return the first run after `now`.

        Missed runs are not made up for: however late `due` is, it runs once, and the next run is in
        the future.

        Args:
            now: the database's time.
            due: the run that is due now; intervals continue from it, so that they do not drift.
        """
        if self.every is None:
            first: datetime = next(CronSim(self.cron or "", now))
            return first
        if due is None or due > now:
            return now + self.every
        return due + self.every * ((now - due) // self.every + 1)
