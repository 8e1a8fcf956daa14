# Sourced by the scripts beside it: finds Helm, or builds it; brings the charts together.
# shellcheck shell=bash

HELM_VERSION=v3.22.0
KUBERNETES_VERSION=1.34.0 # what the charts are rendered and validated for, where no cluster says it
TOOLS=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}
SERVICE_CHARTS=(gateway users orders notifications)
CHARTS=("${SERVICE_CHARTS[@]}" slipway slipway-infra)

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Helm from the PATH, or our own under .slipway/tools, built by Go.
find_helm() {
  HELM=$(command -v helm || true)
  [[ -n $HELM ]] && return
  HELM=$TOOLS/bin/helm
  [[ -x $HELM ]] && return
  command -v go >/dev/null || die "helm is missing, and so is Go, which would build it: install one of them"
  say "helm is missing: building $HELM_VERSION into $TOOLS/bin (a minute or two)"
  GOBIN=$TOOLS/bin GOFLAGS=-trimpath go install -ldflags '-s -w' "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
}

# The charts depend on each other by path: each gets a copy of what it needs under charts/, the umbrella last.
bring_together() {
  local chart
  for chart in "${SERVICE_CHARTS[@]}" slipway; do
    rm -rf "helm/$chart/charts" "helm/$chart/Chart.lock"
    "$HELM" dependency update "helm/$chart" >/dev/null
  done
}
