#!/usr/bin/env bash
# Creates the cluster of cluster.yaml, if it does not exist, and makes it the current context.
#   KIND=built   builds kind with Go, although there may be one on the PATH
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh
KIND_VERSION=v0.30.0

kind=$TOOLS/bin/kind
[[ ${KIND:-} == built ]] || kind=$(command -v kind || echo "$kind")
if [[ ! -x $kind ]]; then
  command -v go >/dev/null || die "kind is missing, and Go, which could build it. Install one of them."
  GOBIN=$TOOLS/bin go install "sigs.k8s.io/kind@$KIND_VERSION"
fi
command -v kubectl >/dev/null || die "kubectl is missing. Install it."
docker info >/dev/null 2>&1 || die "Docker does not run, in whose containers kind's nodes are. Start it."
"$kind" get clusters 2>/dev/null | grep -qx slipway || "$kind" create cluster --config deploy/kind/cluster.yaml --wait 3m
kubectl config use-context kind-slipway >/dev/null
say "kubectl now uses kind-slipway. Next: IMAGE_LOADER=\"$kind load docker-image --name slipway\" make k8s-test"
