"""A transaction from the server's log becomes a script that repeats it with other values."""

import json

import pytest

from bench.script import Choice, Drawn, script_of
from bench.statements import Statement, transaction_with
from slipway.errors import SlipwayError

ROPE = "01a1fdd4-a01e-74f2-b943-76f17731e99b"
BELL = "01a1fdd4-aa77-74f6-b9bc-caab1997ad6d"
OTHER = "01a1fdd4-b8d3-7099-9a49-96f33895819b"
DRAWN = Drawn(key="123", choices=[Choice(variable="one", ids=[ROPE, BELL], captured=ROPE)])


def entry(pid: int, message: str, detail: str = "") -> str:
    found = {"pid": pid, "message": message}
    return json.dumps(found | ({"detail": detail} if detail else {}))


LOG = [
    entry(1, "statement: SELECT outside"),
    entry(1, "statement: BEGIN;"),
    entry(2, "statement: BEGIN ISOLATION LEVEL READ COMMITTED;"),
    entry(1, "execute __s_1__: SELECT 1"),
    entry(
        2,
        "execute __s_7__: INSERT INTO orders (a, b, c) \nVALUES ($1, $2, $3)",
        "Parameters: $1 = 'it''s, $2 = ''x''', $2 = NULL, $3 = ''",
    ),
    entry(2, "connection authorized"),
    entry(1, "statement: COMMIT;"),
    entry(2, "statement: COMMIT;"),
    entry(2, "statement: SELECT pg_notify('orders', '')"),
]


def test_the_transaction_is_found_from_begin_to_commit_on_its_own_connection() -> None:
    begin, insert, commit = transaction_with(LOG, "INSERT INTO orders ")
    assert begin.sql == "BEGIN ISOLATION LEVEL READ COMMITTED;"
    assert insert == Statement(
        sql="INSERT INTO orders (a, b, c) \nVALUES ($1, $2, $3)",
        parameters=("it's, $2 = 'x'", None, ""),
    )
    assert commit.sql == "COMMIT;"


@pytest.mark.parametrize("log", [LOG[:5], LOG + LOG])
def test_zero_or_two_of_them_is_an_error(log: list[str]) -> None:
    with pytest.raises(SlipwayError, match="not one"):
        transaction_with(log, "INSERT INTO orders ")


def test_what_two_orders_cannot_share_is_drawn_and_the_rest_is_sent_as_captured() -> None:
    sql = "INSERT INTO t VALUES ($1::UUID, $2, $3, $4::UUID[], $5, $6, $1);"
    values = (ROPE, OTHER, None, f"{{{ROPE},{OTHER}}}", "order:123:end", "at 10:15, it's")
    script = script_of([Statement(sql=sql, parameters=values)], DRAWN)
    choice = f"('{{{ROPE},{BELL}}}'::uuid[])[:one]"
    assert script.text.splitlines() == [
        "\\set key random(100, 999)",
        "\\set one random(1, 2)",
        (
            f"INSERT INTO t VALUES ({choice}::UUID, uuidv7(), NULL, "
            f"ARRAY[{choice}, uuidv7()]::UUID[], (:p1 || :key::text || :p2), :p3, {choice});"
        ),
    ]
    assert script.definitions == {"p1": "order:", "p2": ":end", "p3": "at 10:15, it's"}


def test_a_key_without_other_parameters_is_drawn_too() -> None:
    script = script_of([Statement(sql="SELECT $1", parameters=("123",))], DRAWN)
    assert script.text.endswith("SELECT (:key::text);\n")


def test_the_parts_of_one_statement_share_its_new_ids() -> None:
    sql = "WITH a AS (INSERT INTO t VALUES ($1)) INSERT INTO u VALUES ($2, $1)"
    script = script_of([Statement(sql=sql, parameters=(OTHER, ROPE))], DRAWN)
    choice = f"('{{{ROPE},{BELL}}}'::uuid[])[:one]"
    assert script.text.splitlines()[2] == (
        "WITH new_1 AS (SELECT uuidv7() AS id), "
        "a AS (INSERT INTO t VALUES ((SELECT id FROM new_1)))"
        f" INSERT INTO u VALUES ({choice}, (SELECT id FROM new_1));"
    )


def test_statements_that_were_sent_with_begin_are_one_round_trip_and_no_two_take_one_lock() -> None:
    sql = "BEGIN; SELECT 1 WHERE pg_try_advisory_xact_lock(-12)"
    script = script_of([Statement(sql=sql), Statement(sql="COMMIT")], DRAWN)
    assert script.text.splitlines()[2:] == [
        "\\startpipeline",
        "BEGIN;",
        "SELECT 1 WHERE pg_try_advisory_xact_lock(:key);",
        "\\endpipeline",
        "COMMIT;",
    ]
