#!/usr/bin/env bash
# Runs the tests of an earlier release on the schema of this tree: docs/guides/migrations.md.
#   previous.sh [COMMIT [PATH…]]   COMMIT: by default the newest tag before HEAD. PATH: tests of that release, by default
#                                  those of the services whose schema this tree changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
UV=${UV:-uv}
TREE=$PWD
CHASSIS=libs/chassis/src/chassis/database/revisions

base=${1:-$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null || true)}
[[ -n $base ]] || { echo "There is no tag v… before HEAD. Name the commit of the earlier release: BASE=COMMIT" >&2; exit 1; }
git rev-parse --quiet --verify "$base^{commit}" >/dev/null \
  || { echo "$base is no commit of this clone. Fetch it: git fetch --tags --unshallow" >&2; exit 1; }

changed() { ! git diff --quiet "$base" -- "$@"; }
paths=("${@:2}")
if ((${#paths[@]} == 0)); then
  for migrations in services/*/migrations; do
    service=${migrations%/migrations}
    # A service that the earlier release does not have has no tests there.
    git cat-file -e "$base:$service/tests" 2>/dev/null || continue
    if changed "$migrations" "$CHASSIS"; then paths+=("$service/tests"); fi
  done
fi
((${#paths[@]})) || { echo "No migration changed since $base: the schema is that of $base."; exit 0; }

earlier=$(mktemp -d)
trap 'rm -rf "$earlier"' EXIT
git archive "$base" | tar -x -C "$earlier"
cd "$earlier"
"$UV" sync --quiet --locked --all-packages --python "$TREE/.venv/bin/python"
echo "On the schema of this tree, tests of $base: ${paths[*]}"
NEWEST_TREE=$TREE NEWEST_SCHEMA_USED=$earlier/used PYTHONPATH=$TREE/deploy/migrations \
  .venv/bin/pytest -q --no-cov -p newest_schema -p no:cacheprovider "${paths[@]}"
[[ -e $earlier/used ]] || { echo "None of these tests used a database. Name tests that do." >&2; exit 1; }
