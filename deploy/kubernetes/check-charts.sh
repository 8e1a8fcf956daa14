#!/usr/bin/env bash
# Lints and renders the charts, validates what they render, and sees that wrong values are refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh

VALIDATOR=kubernetes-validate==1.37.0
UV=${UV:-uv}

DEVELOPMENT=global.environment=development,demoData=true,users.firstAdmin.email=admin@example.com
DEVELOPMENT+=,global.tracing.endpoint=http://traces:4318,tests.tracesUrl=http://traces:4318
EXISTING=global.auth.existingSecret=a,users.database.existingSecret=b,orders.database.existingSecret=c
EXISTING+=,notifications.database.existingSecret=d,secrets.generate=false,gateway.valkey.existingSecret=
EXISTING+=,global.image.registry=registry.example.com/team,topics.replicationFactor=3,global.database.parameters=sslmode=require
STRIMZI=global.kafka.strimziCluster=events,global.kafka.bootstrapServers=events-kafka-bootstrap:9093,global.kafka.topicPrefix=prod.

# Chart and wrong value.
WRONG=(
  "slipway global.environment=staging"
  "slipway global.kafka.bootstrapServers=kafka"
  "slipway global.kafka.strimziCluster=No_Name"
  "slipway global.tracing.sampling=2"
  "slipway global.image.tags=one"
  "slipway topics.replicationFactor=three"
  "slipway bootstrap.superuser.existingSecret="
  "slipway demoData=true" # in production
  "slipway orders.api.replicas=-1"
  "slipway users.firstAdmin.email=nobody"
  "slipway gateway.service.port=0"
  "slipway notifications.settings.lower=1"
  "gateway upstreams.users=users:8000"
  "users worker.replicas=many"
  "orders migration.enabled=false"
  "notifications database.existingSecret=Not_A_Name"
  "slipway-infra kafka.clusterId=short"
  "slipway-infra postgres.storage.size=5"
)

render() { # NAME CHART [ARGUMENTS…]
  local name=$1 chart=$2
  shift 2
  "$HELM" template slipway "helm/$chart" --kube-version "$KUBERNETES_VERSION" "$@" > "$rendered/$name.yaml"
}

find_helm
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
bring_together

for chart in "${CHARTS[@]}"; do
  "$HELM" lint --strict --quiet --kube-version "$KUBERNETES_VERSION" "helm/$chart"
  render "$chart" "$chart"
done
render development slipway --set "$DEVELOPMENT"
render existing slipway --set "$EXISTING"
render strimzi slipway --set "$STRIMZI"
.venv/bin/python deploy/kubernetes/check_strimzi.py "$rendered/strimzi.yaml" helm/slipway/topics.json
"$UV" tool run --quiet --from "$VALIDATOR" kubernetes-validate --strict --quiet \
  --kubernetes-version "$KUBERNETES_VERSION" "$rendered"/*.yaml

for wrong in "${WRONG[@]}"; do
  read -r chart value <<< "$wrong"
  if render refused "$chart" --set "$value" 2>/dev/null; then
    die "helm/$chart takes $value, which its values.schema.json should refuse"
  fi
done
say "charts: ${#CHARTS[@]} linted, $((${#CHARTS[@]} + 3)) renderings valid for Kubernetes $KUBERNETES_VERSION, ${#WRONG[@]} wrong values refused"
