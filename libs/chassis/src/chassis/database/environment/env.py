"""Alembic's entry point, for every service."""

from chassis.database.migrations import run_environment

run_environment()
