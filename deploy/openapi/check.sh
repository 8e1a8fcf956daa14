#!/usr/bin/env bash
# Lints an OpenAPI document with Spectral and Redocly; a warning fails too: check.sh FILE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../node.sh"
file=$(realpath "$1")
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/openapi
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

install_packages "$here" "$packages"
lint() { # NAME COMMAND…: silent unless it fails; Redocly has a banner about each old Node
  local name=$1 said
  shift
  said=$(node_tool node "$@" 2>&1) || { printf '%s\n%s: %s has errors, see above\n' "$said" "$file" "$name" >&2; exit 1; }
  echo "$file: $name finds no error and no warning"
}
lint Spectral node_modules/@stoplight/spectral-cli/dist/index.js lint \
  --ruleset "$here/spectral.yaml" --fail-severity hint --format text "$file"
lint Redocly node_modules/@redocly/cli/bin/cli.js lint --config "$here/redocly.yaml" --format stylish "$file"
