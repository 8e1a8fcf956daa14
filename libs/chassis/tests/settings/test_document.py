"""The settings read each line of the document."""

from pydantic import Field

from chassis.documents.settings import settings_text
from chassis.settings import Settings


class Sample(Settings):
    names: tuple[str, ...] = Field(default=(), description="Names.")
    counts: dict[str, int] = Field(default={}, description="Counts.")
    size: int = Field(default=0, description="Size.")
    factor: int | None = Field(default=None, description="Factor.")


def test_empty_values_are_written_as_nothing():
    lines = settings_text([Sample]).splitlines()
    for line in ("# NAMES=", "# COUNTS=", "# SIZE=0", "# FACTOR="):
        assert line in lines
