#!/usr/bin/env bash
# Backs up the schemas of the services, each into a file: docs/guides/backup.md.
#
#   backup.sh URL DIRECTORY [SERVICE…]     URL: postgresql://… of a superuser, or of a role that may read the schemas
set -euo pipefail
url=${1:?name the URL of the database} directory=${2:?name the directory}
shift 2
(($#)) || set -- users orders notifications
umask 077
mkdir -p "$directory"
# One snapshot for all: the schemas are of the same moment. The session that exports it must stay open meanwhile.
coproc SNAPSHOT { psql --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$url"; }
echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot();' >&"${SNAPSHOT[1]}"
read -r snapshot <&"${SNAPSHOT[0]}" || { echo "the database can't be read: see the error above" >&2; exit 1; }
for service in "$@"; do
  file=$directory/$service.dump
  pg_dump --dbname "$url" --format custom --schema "$service" --snapshot "$snapshot" --file "$file.part"
  mv "$file.part" "$file" # a file of this name is whole
done
echo 'COMMIT;' >&"${SNAPSHOT[1]}"
