#!/usr/bin/env bash
# Makes a client of an OpenAPI document in Python and one in TypeScript, and checks that nothing is missing in
# either: check.sh FILE [URL TOKEN]. With a URL it also makes calls of a running gateway with both. Generators leave out what they can't read, and some of them exit with 0 all the same.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../node.sh"
file=$(realpath "$1")
url=${2-} token=${3-}
PYTHON_GENERATOR=openapi-python-client==0.29.1
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/clients

mkdir -p "$packages"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

uv_tool "$PYTHON_GENERATOR" openapi-python-client generate \
  --path "$file" --output-path "$made/generated" --meta none --fail-on-warning >/dev/null
"$PYTHON" "$here/check.py" "$file" "$made"
cp "$here/call.py" "$made"
# The generator's own files have errors of their own, so only what our document decides is checked.
(cd "$made" && "$PYTHON" -m mypy --strict --follow-imports silent --no-error-summary --cache-dir "$made/.mypy" call.py)
[ -z "$url" ] || "$PYTHON" "$made/call.py" "$url" "$token"

cp "$here"/{package.json,package-lock.json,.npmrc} "$packages"
cd "$packages"
if ! cmp --silent package-lock.json node_modules/.installed-lock; then
  node_tool npm ci --silent
  cp package-lock.json node_modules/.installed-lock
fi
node_tool node "$here/check.mjs" "$file" "$made"
[ -z "$url" ] || node_tool node "$packages/call.js" "$url" "$token"
