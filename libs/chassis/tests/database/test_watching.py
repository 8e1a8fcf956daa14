"""Log lines of statements: asyncpg's and SQLAlchemy's alike, and never a parameter in them."""

import asyncio

import asyncpg
import pytest
from opentelemetry import trace
from sqlalchemy import text

from chassis.database import Database, watching
from chassis.database.watching import statement_text

SECRET = "ada@mail.example"
EVERY = {"database_log_statements": True}
SLOW = {"database_slow_statement_ms": 50}


@pytest.fixture
def opened(database_settings):
    def opened(**settings):
        chosen = database_settings.model_copy(update=settings)
        return Database(settings=chosen, application_name="watched").opened()

    return opened


async def lines(logs, name):
    await asyncio.sleep(0)  # asyncpg calls its loggers in the next turn of the loop
    return [line for line in logs if line["event"] == name]


async def run_all(database):
    async with database.transaction() as unit:
        await unit.execute_first(f"SELECT '{SECRET}' AS literal")
        await unit.fetch("SELECT $1::text AS ours", SECRET)
        await unit.session.execute(text("SELECT :one ::text AS theirs"), {"one": SECRET})


async def test_each_statement_is_logged_with_its_time_and_without_its_parameters(opened, logs):
    async with opened(**EVERY) as database:
        await run_all(database)
    written = await lines(logs, "statement ended")
    statements = [line["statement"] for line in written]
    assert [one for one in statements if "ours" in one] == ["SELECT $1::text AS ours"]
    assert [one for one in statements if "literal" in one] == ["BEGIN; SELECT … AS literal"]
    assert len([one for one in statements if "theirs" in one]) == 1
    assert "COMMIT" in statements
    assert all(line["milliseconds"] >= 0 for line in written)
    assert SECRET not in str(logs)


class TracedLines:
    """Takes the lines with the trace that a process's own lines would show."""

    def __init__(self):
        self.lines = []

    def warning(self, event, **fields):
        context = trace.get_current_span().get_span_context()
        self.lines.append((event, fields, context.trace_id))


@pytest.mark.usefixtures("span_exporter")
async def test_only_slow_statements_are_logged_with_the_trace_of_their_request(opened, monkeypatch):
    log = TracedLines()
    monkeypatch.setattr(watching, "log", log)
    async with opened(**SLOW) as database:
        await run_all(database)
        with trace.get_tracer("t").start_as_current_span("request") as span:
            async with database.transaction() as unit:
                await unit.fetch("SELECT pg_sleep($1)", 0.1)
                await unit.session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": 0.1})
        await asyncio.sleep(0)
    slept = [line for line in log.lines if "pg_sleep" in line[1]["statement"]]
    assert [event for event, _, _ in slept] == ["statement was slow"] * 2
    assert all(fields["milliseconds"] >= 50 for _, fields, _ in slept)
    assert {trace_id for _, _, trace_id in slept} == {span.get_span_context().trace_id}


async def fail(database, *, ours):
    sql = f"SELECT CAST('{SECRET}' AS int)"
    async with database.transaction() as unit:
        await (unit.fetch(sql) if ours else unit.session.execute(text(sql)))


async def test_a_statement_that_fails_is_logged_with_the_kind_of_its_error(opened, logs):
    async with opened(**EVERY) as database:
        for first in (True, False):
            with pytest.raises(Exception, match="invalid input syntax"):
                await fail(database, ours=first)
    failed = [line for line in await lines(logs, "statement ended") if line["error"]]
    assert [line["statement"] for line in failed] == ["SELECT CAST(… AS int)"] * 2
    assert SECRET not in str(failed)


async def test_a_process_that_logs_no_statements_registers_nothing(opened, logs):
    async with opened() as database:
        await run_all(database)
        async with database.reading() as reader:
            connection = reader._held.driver
            assert not connection._query_loggers
    assert await lines(logs, "statement ended") == []
    async with opened(**EVERY) as logged:
        for name in ("before_cursor_execute", "after_cursor_execute"):
            assert len(listeners(database, name)) == len(listeners(logged, name)) - 1


def listeners(database, name):
    return list(getattr(database._orm._engine.sync_engine.dispatch, name))


async def test_the_statements_of_a_recorded_trace_are_spans_of_it(opened, spans):
    async with opened() as database:
        await run_all(database)
        assert statement_spans(spans) == []
        with trace.get_tracer("t").start_as_current_span("request") as request:
            await run_all(database)
        with pytest.raises(Exception, match="invalid input syntax"):
            await fail(database, ours=True)
        await asyncio.sleep(0)
    made = statement_spans(spans)
    assert [span.name for span in made] == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
    assert {span.context.trace_id for span in made} == {request.get_span_context().trace_id}
    assert {span.attributes["db.system.name"] for span in made} == {"postgresql"}
    texts = [span.attributes["db.query.text"] for span in made]
    assert [text for text in texts if "ours" in text] == ["SELECT $1::text AS ours"]
    assert len([text for text in texts if "theirs" in text]) == 1
    assert SECRET not in str(texts)
    assert all(span.start_time < span.end_time for span in made)


@pytest.mark.parametrize("ours", [True, False])
async def test_a_failed_statement_of_a_recorded_trace_has_its_state(opened, spans, ours):
    async with opened() as database:
        with trace.get_tracer("t").start_as_current_span("request"):
            with pytest.raises(Exception, match="invalid input syntax"):
                await fail(database, ours=ours)
            await asyncio.sleep(0)
    (failed,) = [span for span in statement_spans(spans) if "error.type" in span.attributes]
    assert failed.attributes["db.response.status_code"] == "22P02"
    assert failed.status.status_code is trace.StatusCode.ERROR


def statement_spans(spans):
    found = [span for span in spans.get_finished_spans() if "db.system.name" in span.attributes]
    return sorted(found, key=lambda span: span.start_time)


def test_a_statement_is_one_line_without_values():
    sql = f"""INSERT INTO a
        VALUES ('{SECRET}', 'it''s', 123456789, 12, $1)"""
    assert statement_text(sql) == "INSERT INTO a VALUES (…, …, …, 12, $1)"
    assert len(statement_text("SELECT " + "a" * 5000)) < 2100


async def test_asyncpg_does_not_log_prepared_statements_itself(service_database):
    """If this fails, SQLAlchemy's statements are logged twice: see `watch_engine`."""
    connection = await asyncpg.connect(service_database.runtime_url)
    seen = []
    try:
        connection.add_query_logger(lambda record: seen.append(record.query))
        prepared = await connection.prepare("SELECT 1")
        await prepared.fetch()
        await connection.fetch("SELECT 2")
        await asyncio.sleep(0)
    finally:
        await connection.close()
    assert "SELECT 2" in seen
    assert "SELECT 1" not in seen
