#!/bin/sh
# Creates the data directory at the first start, then runs the server, like the official image.
set -eu

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  if [ -z "${POSTGRES_PASSWORD:-}" ]; then
    echo "POSTGRES_PASSWORD is not set, and the superuser needs a password. Set it." >&2
    exit 1
  fi
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  passwords=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" > "$passwords"
  initdb --username="$user" --pwfile="$passwords" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 >&2
  rm "$passwords"
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  if [ "$database" != postgres ]; then
    pg_ctl -w start -o "-c listen_addresses=''" >&2
    createdb --username="$user" --no-password "$database"
    pg_ctl -w -m fast stop >&2
  fi
  echo "PostgreSQL init process complete; ready for start up." >&2
fi

exec "$@"
