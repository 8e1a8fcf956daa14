#!/usr/bin/env bash
# Restores schemas from the files of backup.sh: docs/guides/backup.md. What a schema has now is replaced, all or nothing.
# `slipway db bootstrap` must have made database and roles, and no process of these services may run.
#
#   restore.sh URL DIRECTORY [SERVICE…]    URL: postgresql://… of a superuser
set -euo pipefail
url=${1:?name the URL of the database} directory=${2:?name the directory}
shift 2
(($#)) || set -- users orders notifications
sql=$(mktemp)
trap 'rm -f "$sql"' EXIT
for service in "$@"; do
  # First the whole text, then one transaction: a file that is cut must not leave half a schema. The schema is dropped, since
  # it may have tables of later migrations.
  { echo "DROP SCHEMA IF EXISTS $service CASCADE;"; pg_restore --file - "$directory/$service.dump"; } > "$sql"
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --file "$sql" --output /dev/null "$url"
done
