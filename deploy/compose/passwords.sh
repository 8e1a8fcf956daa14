#!/usr/bin/env bash
# Writes the project's name and random passwords for Compose into .env, once. A volume of PostgreSQL keeps the password that
# it was made with, so delete both together: docker compose --profile observability down --volumes, and the lines in .env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
umask 077
touch .env
chmod go-rwx .env # it may be a copy of .env.example, which all may read
[[ -z $(tail -c 1 .env) ]] || echo >> .env # without a newline at its end, the first of ours would continue its last line
grep -q '^COMPOSE_PROJECT_NAME=' .env || echo COMPOSE_PROJECT_NAME=slipway >> .env
for name in SLIPWAY_POSTGRES_PASSWORD SLIPWAY_ROLES_PASSWORD SLIPWAY_KEYS SLIPWAY_ADMIN_PASSWORD; do
  grep -q "^$name=" .env || printf '%s=%s\n' "$name" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" >> .env
done
