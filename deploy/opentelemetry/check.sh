#!/usr/bin/env bash
# Validates collector.yaml with a real collector, and tests which traces it keeps.
# The collector is otelcol-contrib or otelcol from the PATH, or our own under .slipway/tools, which Go builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

TOOLS=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}
MANIFEST=deploy/opentelemetry/builder.yaml
CONFIG=deploy/opentelemetry/collector.yaml

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The release of all parts, and of the builder.
release() { sed -n 's/^  version: //p' "$MANIFEST"; }

find_collector() {
  OTELCOL=$(command -v otelcol-contrib || command -v otelcol || true)
  [[ -n $OTELCOL ]] && return
  OTELCOL=$TOOLS/bin/otelcol-$(release)
  [[ -x $OTELCOL ]] && return
  command -v go >/dev/null || die "otelcol-contrib is missing, and Go, which could build a collector. Install one of them."
  say "otelcol-contrib is missing: building $(release) into $TOOLS/bin (some minutes)"
  GOBIN=$TOOLS/bin go install "go.opentelemetry.io/collector/cmd/builder@v$(release)"
  mkdir -p "$TOOLS/otelcol"
  sed "s|^dist:|&\n  output_path: $TOOLS/otelcol|" "$MANIFEST" >"$TOOLS/otelcol/builder.yaml"
  "$TOOLS/bin/builder" --config "$TOOLS/otelcol/builder.yaml"
  mv "$TOOLS/otelcol/otelcol" "$OTELCOL"
}

find_collector
"$OTELCOL" --version
TRACES_ENDPOINT=http://127.0.0.1:4318 "$OTELCOL" validate --config "$CONFIG"
OTELCOL=$OTELCOL exec .venv/bin/pytest -q -p no:cacheprovider tests/e2e/collector_sampling.py
