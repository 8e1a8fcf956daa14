#!/usr/bin/env bash
# Has AsyncAPI's own parser read a document: check.sh FILE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../node.sh"
file=$(realpath "$1")
packages=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}/asyncapi

install_packages "$here" "$packages"
node_tool node "$here/check.mjs" "$file"
