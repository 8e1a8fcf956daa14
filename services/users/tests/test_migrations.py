"""The migrations create what the models declare."""

import asyncio

from chassis.database.migrations import check


async def test_models_and_migrations_do_not_differ(database, service_directory):
    await asyncio.to_thread(check, service_directory, database.owner_url)
