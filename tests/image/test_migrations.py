"""The packages of an image, installed as its recipe does, can migrate a service's schema."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import asyncpg

from testkit.databases import ServiceDatabase

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "deploy" / "image" / "Dockerfile"


async def run(*command: str | Path, **options) -> None:
    process = await asyncio.create_subprocess_exec(*map(str, command), **options)
    assert await process.wait() == 0


async def test_the_packages_of_an_image_migrate_a_schema_without_the_repository(
    tmp_path, postgres_url
):
    """The chassis' revisions, environment and template are package data."""
    uv = shutil.which("uv") or ROOT / ".slipway" / "tools" / "bin" / "uv"
    packages = tmp_path / "packages"
    sources = [ROOT / part for part in ("libs/chassis", "libs/contracts", "services/users")]
    await run(
        uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target",
        packages, *sources,
    )  # fmt: skip
    work = tmp_path / "users"
    await asyncio.to_thread(
        shutil.copytree, ROOT / "services/users/migrations", work / "migrations"
    )
    database = await ServiceDatabase.create_empty(postgres_url, "users")
    environment = {
        **os.environ,
        "PYTHONPATH": str(packages),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DATABASE_OWNER_URL": database.owner_url,
    }
    code = (
        "import chassis, runpy, sys; assert chassis.__file__.startswith(sys.argv.pop(1));"
        "runpy.run_module('chassis.run', run_name='__main__')"
    )
    await run(sys.executable, "-c", code, packages, "users", "migrate", cwd=work, env=environment)
    connection = await asyncpg.connect(database.runtime_url)
    try:
        for table in ("users", "outbox"):
            assert await connection.fetch(f"SELECT * FROM {table}") == []
    finally:
        await connection.close()
    assert (packages / "chassis/database/environment/script.py.mako").exists()


def test_the_folder_that_an_image_works_in_is_named_as_its_service():
    """Migrations read the name of the folder to find the schema."""
    lines = RECIPE.read_text(encoding="utf-8").splitlines()
    assert "WORKDIR /app/work/${PACKAGE}" in lines
    assert any('migrations" "/app/work/${PACKAGE}/"' in line for line in lines)
