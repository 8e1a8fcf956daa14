"""The mixed load that `make load` drives with locust; `libs/bench/src/bench/mixed` starts it.

It runs in an environment of its own: locust replaces Python's sockets by gevent's, and imports
nothing of the product.
"""

import os
from pathlib import Path

from customers import Customer
from locust import events
from locust.env import Environment
from outcomes import OUTCOMES
from warehouse import Warehouse

__all__ = ["Customer", "Warehouse"]

events.request.add_listener(OUTCOMES.record)


@events.test_start.add_listener
def _begin(environment: Environment, **_: object) -> None:
    del environment
    OUTCOMES.begin()


@events.test_stopping.add_listener
def _end(environment: Environment, **_: object) -> None:
    del environment
    OUTCOMES.end()


@events.quitting.add_listener
def _write(environment: Environment, **_: object) -> None:
    del environment
    Path(os.environ["LOAD_RESULT"]).write_text(OUTCOMES.as_json(), encoding="utf-8")
