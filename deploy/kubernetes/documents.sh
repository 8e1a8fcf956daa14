#!/usr/bin/env bash
# Renews what is generated beside the charts: schemas, READMEs, and, where Helm is there, the manifests for kubectl alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh

for document in schemas readmes; do .venv/bin/python "deploy/kubernetes/$document.py"; done
if ! command -v helm >/dev/null && [[ ! -x $TOOLS/bin/helm ]]; then
  say "helm is missing, so deploy/kubernetes/kubectl is not renewed; make charts-check builds it" >&2
  exit
fi
find_helm
bring_together
.venv/bin/python deploy/kubernetes/manifests.py "$HELM"
