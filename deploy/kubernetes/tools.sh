# For the scripts in this directory, which source it: finds or builds Helm, and joins the charts.
# shellcheck shell=bash

HELM_VERSION=v3.22.0
KUSTOMIZE_VERSION=v5.7.1
KUBERNETES_VERSION=1.34.0 # what the charts are rendered and validated for, where no cluster says it
TOOLS=${SLIPWAY_TOOLS:-$PWD/.slipway/tools}
# The charts that depend on others; the umbrella last.
DEPENDENT_CHARTS=(gateway service slipway)

# Values that show what needs an ingress controller, a Gateway or an operator.
PROXIES=settings.TRUSTED_PROXIES=10.0.0.0/8
INGRESS=$PROXIES,ingress.enabled=true,ingress.host=api.example.com,ingress.className=nginx,ingress.tlsSecret=api-tls
ROUTE="$PROXIES,httpRoute.enabled=true,httpRoute.hostnames[0]=api.example.com,httpRoute.parentRefs[0].name=public"
STORE="externalSecrets.store.name=vault,externalSecrets.secrets[0].name=slipway-keys,externalSecrets.secrets[0].remoteKey=prod/keys"

# What the umbrella chart needs in production.
NEEDED=(--set global.publicUrl=https://shop.example.com:8443/front)

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Helm from the PATH, or our own under .slipway/tools, built by Go.
find_helm() {
  HELM=$(command -v helm || true)
  [[ -n $HELM ]] && return
  HELM=$TOOLS/bin/helm
  [[ -x $HELM ]] && return
  command -v go >/dev/null || die "helm is missing, and Go, which could build it. Install one of them."
  say "helm is missing: building $HELM_VERSION into $TOOLS/bin (a minute or two)"
  GOBIN=$TOOLS/bin GOFLAGS=-trimpath go install -ldflags '-s -w' "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
}

# kubectl has kustomize in itself; without kubectl, our own is built by Go.
find_kustomize() {
  KUSTOMIZE=(kubectl kustomize)
  command -v kubectl >/dev/null && return
  KUSTOMIZE=("$TOOLS/bin/kustomize" build)
  [[ -x ${KUSTOMIZE[0]} ]] && return
  command -v go >/dev/null || die "kubectl and kustomize are missing, and Go, which could build the latter. Install one."
  GOBIN=$TOOLS/bin go install "sigs.k8s.io/kustomize/kustomize/v5@$KUSTOMIZE_VERSION"
}

# Fills the array of the services' names from their declarations.
find_services() {
  [[ -x .venv/bin/python ]] || die "the project's environment is missing. Run: make install"
  read -ra SERVICES < <(.venv/bin/python -c 'from chassis.installed import service_names; print(*service_names())')
}

# The charts depend on each other by path: each gets copies of its dependencies under charts/.
bring_together() {
  local chart
  for chart in "${DEPENDENT_CHARTS[@]}"; do
    rm -rf "helm/$chart/charts" "helm/$chart/Chart.lock"
    "$HELM" dependency update "helm/$chart" >/dev/null
  done
}
