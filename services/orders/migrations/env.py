"""Alembic's entry point; the environment itself is the chassis's."""

from chassis.database.migrations import run_environment
from orders.models import Order  # with it come the models of all nouns

run_environment(Order.metadata)
