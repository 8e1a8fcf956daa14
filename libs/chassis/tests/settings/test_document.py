"""The settings read each line of the document."""

from pydantic import Field

from chassis.documents.settings import settings_text
from chassis.settings import Settings


class Sample(Settings):
    names: tuple[str, ...] = Field(default=(), description="Names.")
    counts: dict[str, int] = Field(default={}, description="Counts.")
    size: int = Field(default=0, description="Size.")
    origins: tuple[str, ...] = Field(default=("http://a", "http://b"), description="Origins.")
    factor: int | None = Field(default=None, description="Factor.")


def test_empty_values_are_written_as_nothing():
    lines = settings_text([Sample]).splitlines()
    for line in ("# NAMES=", "# COUNTS=", "# SIZE=0", "# FACTOR="):
        assert line in lines


def test_several_values_are_written_as_they_are_read():
    assert "# ORIGINS=http://a,http://b" in settings_text([Sample]).splitlines()
