#!/usr/bin/env bash
# Checks the SQL of new migrations with squawk: docs/guides/migrations.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
UV=${UV:-uv}

sql=$(mktemp -d)
trap 'rm -rf "$sql"' EXIT
.venv/bin/python deploy/migrations/lint.py "$sql"
shopt -s nullglob
files=("$sql"/*.sql)
if ((${#files[@]})); then
  "$UV" tool run --quiet --from squawk-cli==2.70.0 squawk --config deploy/migrations/squawk.toml "${files[@]}"
fi
# The check itself is tried: a migration that locks a table must be rejected.
echo 'CREATE INDEX orders_by_city ON orders (city);' > "$sql/wrong.sql"
if "$UV" tool run --quiet --from squawk-cli==2.70.0 squawk --config deploy/migrations/squawk.toml "$sql/wrong.sql" >/dev/null 2>&1; then
  echo "squawk accepts an index that is not created concurrently. Correct deploy/migrations/squawk.toml." >&2
  exit 1
fi
