#!/usr/bin/env bash
# Packages the charts, pushes them as OCI artifacts, and signs them: push-charts.sh oci://REGISTRY/PATH
set -euo pipefail
target=${1:?name the registry}
source deploy/kubernetes/tools.sh
find_helm
bring_together
packages=$(mktemp -d)
for chart in slipway slipway-infra gateway service; do
  "$HELM" package "helm/$chart" --destination "$packages" >/dev/null
done
for package in "$packages"/*.tgz; do
  pushed=$("$HELM" push "$package" "$target" 2>&1)
  digest=$(sed -nE 's/^Digest: (sha256:[0-9a-f]{64})$/\1/p' <<< "$pushed")
  reference=$(sed -nE 's/^Pushed: (.+):[^:]+$/\1/p' <<< "$pushed")
  [[ -n $digest && -n $reference ]] || { echo "helm push printed no digest: $pushed" >&2; exit 1; }
  cosign sign --yes "$reference@$digest"
done
