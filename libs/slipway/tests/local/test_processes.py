import sys
from pathlib import Path

from slipway.local.processes import PROCESSES, Surroundings
from slipway.operate.database import Database
from slipway.operate.keys import KeyFiles
from slipway.services import role_names
from slipway.settings import SlipwaySettings


def specs(**more):
    surroundings = Surroundings(
        settings=SlipwaySettings(),
        root=Path("/repository"),
        env_file="/dev/null",
        database=Database(
            superuser_url="postgresql://postgres@127.0.0.1:1/postgres",
            name="slipway",
            passwords=dict.fromkeys(role_names(), "secret"),
        ),
        keys=KeyFiles(private=Path("/keys/private"), public=Path("/keys/public")),
        **more,
    )
    return {row.name: surroundings.spec(row) for row in PROCESSES}


def test_a_setting_of_the_plan_replaces_the_usual_one_in_every_process():
    usual, changed = specs(), specs(environment={"OTEL_TRACES_SAMPLER_ARG": "0.1"})
    assert {one.environment["OTEL_TRACES_SAMPLER_ARG"] for one in usual.values()} == {"1.0"}
    assert {one.environment["OTEL_TRACES_SAMPLER_ARG"] for one in changed.values()} == {"0.1"}


def test_a_profiler_runs_only_the_process_that_it_is_meant_for():
    found = specs(interpreters={"orders": ("/tools/python", "-m", "profiler")})
    assert found["orders"].command == (
        *("/tools/python", "-m", "profiler"),
        *("-m", "chassis.run", "orders", "api"),
    )
    assert found["users"].command == (sys.executable, "-m", "chassis.run", "users", "api")
