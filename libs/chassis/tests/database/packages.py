"""Generated services for tests: importable packages, with models and revisions written as files."""

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

METADATA = """
    from sqlalchemy.orm import DeclarativeBase

    from chassis.database import service_metadata
    {imports}

    class Base(DeclarativeBase):
        metadata = service_metadata()

    {declarations}
"""
MODEL = """
    from sqlalchemy import BigInteger, Text
    from sqlalchemy.orm import Mapped, mapped_column

    from {package}.metadata import Base

    class {name}(Base):
        __tablename__ = "{table}"
        name: Mapped[str] = mapped_column(Text, primary_key=True)
        {columns}
"""
REVISION = """
    import sqlalchemy as sa
    from alembic import op

    revision = "{number}"
    down_revision = {before!r}
    branch_labels = {labels!r}
    depends_on = {depends_on!r}

    def upgrade():
        {up}

    def downgrade():
        {down}
"""


class WrittenService:
    """A generated service: its folder holds ``migrations/``, and its package can be imported.

    Args:
        root: the directory for the folder.
        name: the name of folder and package.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.directory = root / name
        self.package = self.directory / "src" / name
        self.package.mkdir(parents=True)
        (self.directory / "migrations").mkdir()
        (self.package / "__init__.py").touch()
        self.declare()

    @property
    def revisions(self) -> list[str]:
        return sorted(file.name for file in self.versions.glob("*.py"))

    @property
    def versions(self) -> Path:
        return self.directory / "migrations" / "versions"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that imports the package."""
        return {**os.environ, "PYTHONPATH": str(self.directory / "src")}

    def declare(self, imports: str = "", declarations: str = "") -> None:
        """Write ``metadata.py``."""
        text = dedent(METADATA).format(imports=imports, declarations=declarations)
        (self.package / "metadata.py").write_text(text)

    def model(self, table: str, *columns: str, at: str = "models.py") -> None:
        """Write a model with a text column `name` and more columns, as a module of the package."""
        file = self.package / at
        file.parent.mkdir(parents=True, exist_ok=True)
        text = dedent(MODEL).format(
            package=self.name,
            name=table.title(),
            table=table,
            columns="; ".join(columns) or "pass",
        )
        file.write_text(text)

    def revision(self, number: str, up: str, *, down: str = "pass", depends_on: str | None = None):
        """Write a revision that follows the previous one by number."""
        before = f"{int(number) - 1:04d}" if int(number) > 1 else None
        self.versions.mkdir(parents=True, exist_ok=True)
        text = dedent(REVISION).format(
            number=number,
            before=before,
            labels=None if before else (self.name,),
            depends_on=depends_on,
            up=up,
            down=down,
        )
        (self.versions / f"{number}_written.py").write_text(text)


@pytest.fixture
def written(tmp_path, monkeypatch) -> Iterator[WrittenService]:
    """Return a service without models or revisions, whose package this process can import."""
    service = WrittenService(tmp_path, f"service_{secrets.token_hex(4)}")
    monkeypatch.syspath_prepend(service.directory / "src")
    yield service
    for name in [one for one in sys.modules if one.partition(".")[0] == service.name]:
        del sys.modules[name]
