#!/usr/bin/env bash
# Lints and renders the charts, validates the manifests, and checks that wrong values are rejected.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh

VALIDATOR=kubernetes-validate==1.37.0
UV=${UV:-uv}

DEVELOPMENT=global.environment=development,demoData=true,users.firstAdmin.email=admin@example.com
DEVELOPMENT+=,global.tracing.endpoint=http://traces:4318,tests.tracesUrl=http://traces:4318
EXISTING=global.auth.existingSecret=a,users.database.existingSecret=b,orders.database.existingSecret=c
EXISTING+=,notifications.database.existingSecret=d,secrets.generate=false,gateway.valkey.existingSecret=
EXISTING+=,notifications.smtp.server=mail.example.com:587,notifications.smtp.from=shop@example.com
EXISTING+=,notifications.smtp.username=mailer,notifications.smtp.existingSecret=e
EXISTING+=,global.image.registry=registry.example.com/team,topics.replicationFactor=3,topics.partitions.slipway\\.orders=12,global.database.parameters=sslmode=require
STRIMZI=global.kafka.strimziCluster=events,global.kafka.bootstrapServers=events-kafka-bootstrap:9093,global.kafka.topicPrefix=prod.

# What the umbrella chart needs in production.
NEEDED=(--set global.publicUrl=https://shop.example.com:8443/front)

# Each line: a chart and a wrong value.
WRONG=(
  "slipway global.publicUrl=" # in production
  "slipway global.publicUrl=http://shop.example.com" # likewise
  "slipway global.publicUrl=https://192.0.2.1" # no domain for passkeys
  "slipway global.publicUrl=https://user@shop.example.com"
  "slipway global.publicUrl=,users.settings.PASSKEY_RP_ID=example.com" # without origins
  "service name=users,accounts=true" # without a public address
  "service name=notifications,smtp.server=mail.example.com:587,smtp.from=shop@example.com" # likewise
  "slipway global.environment=staging"
  "slipway global.kafka.bootstrapServers=kafka"
  "slipway global.kafka.strimziCluster=No_Name"
  "slipway global.tracing.sampling=2"
  "slipway global.image.tags=one"
  "slipway topics.replicationFactor=three"
  "slipway topics.partitions.orders=0"
  "slipway bootstrap.superuser.existingSecret="
  "slipway demoData=true" # in production
  "slipway tests.tracesUrl=http://traces:4318" # likewise
  "slipway orders.api.replicas=-1"
  "slipway orders.name=shop" # it is called by its alias
  "slipway order.api.replicas=2"
  "slipway users.firstAdmin.email=nobody"
  "slipway orders.firstAdmin.email=admin@example.com" # it keeps no accounts
  "slipway gateway.service.port=0"
  "slipway notifications.settings.lower=1"
  "slipway notifications.smtp.server=mail.example.com:587" # without a sender
  "slipway notifications.smtp.server=mail.example.com"
  "slipway notifications.smtp.tls=ssl"
  "slipway notifications.smtp.username=mailer" # without a password
  "gateway upstreams.users=users:8000"
  "service worker.replicas=1" # without a name
  "service name=Orders"
  "service name=orders,global.tracing.endpoint=traces:4318"
  "service name=users,worker.replicas=many"
  "service name=orders,migration.enabled=false"
  "service name=notifications,database.existingSecret=Not_A_Name"
  "slipway-infra kafka.clusterId=short"
  "slipway-infra postgres.storage.size=5"
)

render() { # NAME CHART [ARGUMENTS…]
  local name=$1 chart=$2
  shift 2
  "$HELM" template slipway "helm/$chart" --kube-version "$KUBERNETES_VERSION" "$@" > "$rendered/$name.yaml"
}

lint_and_render() { # NAME CHART [ARGUMENTS…]
  "$HELM" lint --strict --quiet --kube-version "$KUBERNETES_VERSION" "helm/$2" "${@:3}"
  render "$@"
}

find_helm
find_services
rendered=$(mktemp -d)
trap 'rm -rf "$rendered"' EXIT
bring_together

for chart in gateway slipway-infra; do lint_and_render "$chart" "$chart"; done
lint_and_render slipway slipway "${NEEDED[@]}"
for service in "${SERVICES[@]}"; do lint_and_render "$service" service --set "name=$service"; done
render development slipway --set "$DEVELOPMENT"
render strimzi slipway "${NEEDED[@]}" --set "$STRIMZI"
.venv/bin/python deploy/kubernetes/check_secrets.py "$rendered"/*.yaml
render existing slipway "${NEEDED[@]}" --set "$EXISTING" # its Valkey has no password
.venv/bin/python deploy/kubernetes/check_public_url.py "$rendered/existing.yaml" https://shop.example.com:8443/front
.venv/bin/python deploy/kubernetes/check_strimzi.py "$rendered/strimzi.yaml" helm/slipway/topics.json
"$UV" tool run --quiet --from "$VALIDATOR" kubernetes-validate --strict --quiet \
  --kubernetes-version "$KUBERNETES_VERSION" "$rendered"/*.yaml
renderings=$(find "$rendered" -type f | wc -l)

for wrong in "${WRONG[@]}"; do
  read -r chart value <<< "$wrong"
  needed=()
  [[ $chart == slipway ]] && needed=("${NEEDED[@]}")
  if render refused "$chart" "${needed[@]}" --set "$value" 2>/dev/null; then
    die "helm/$chart accepts $value. Correct its values.schema.json, which must reject it."
  fi
done
say "charts: $renderings renderings valid for Kubernetes $KUBERNETES_VERSION, ${#WRONG[@]} wrong values refused"
