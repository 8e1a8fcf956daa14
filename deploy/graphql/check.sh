#!/usr/bin/env bash
# Audits a gateway's /graphql with the suite of graphql-http (npm).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../node.sh"
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/graphql
log=$(mktemp)

install_packages "$here" "$packages"

# The gateway ends when its input does, however this script ends.
coproc GATEWAY { exec "$PYTHON" "$here/serve.py" 2>"$log"; }
read -r url <&"${GATEWAY[0]}" || { cat "$log" >&2; exit 1; }
node_tool node "$here/check.mjs" "$url"
rm -f "$log"
