#!/usr/bin/env bash
# Lints and renders the charts, validates the manifests, and checks that wrong values are rejected.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh

VALIDATOR=kubernetes-validate==1.37.0
# The three newest that the validator knows.
VERSIONS=(1.35.0 1.36.0 1.37.0)
CHECKOV=checkov==3.3.30
UV=${UV:-uv}

DEVELOPMENT=global.environment=development,demoData=true,users.firstAdmin.email=admin@example.com
DEVELOPMENT+=,global.tracing.endpoint=http://traces:4318,tests.tracesUrl=http://traces:4318
EXISTING=global.auth.existingSecret=a,users.database.existingSecret=b,orders.database.existingSecret=c
EXISTING+=,notifications.database.existingSecret=d,secrets.generate=false,gateway.valkey.existingSecret=
EXISTING+=,notifications.smtp.server=mail.example.com:587,notifications.smtp.from=shop@example.com
EXISTING+=,notifications.smtp.username=mailer,notifications.smtp.existingSecret=e
EXISTING+=,global.image.registry=registry.example.com/team,topics.replicationFactor=3,topics.partitions.slipway\\.orders=12,global.database.parameters=sslmode=require
STRIMZI=global.kafka.strimziCluster=events,global.kafka.bootstrapServers=events-kafka-bootstrap:9093,global.kafka.topicPrefix=prod.
PLATFORM=global.kafka.security.protocol=SASL_SSL,global.kafka.security.username=slipway,global.kafka.security.existingSecret=kafka
PLATFORM+=",global.kafka.bootstrapServers=b-1.example.com:9096\\,b-2.example.com:9096,global.database.host=db.example.com"
PLATFORM+=",global.database.parameters=sslmode=verify-full,global.privateCa.secret=ca,global.privateCa.everywhere=true"
PLATFORM+=",global.tracing.endpoint=https://otlp.example.com,global.pods.priorityClassName=high,global.pods.spread=required"
PLATFORM+=",global.pods.labels.team=shop,global.pods.annotations.example\\.com/scrape=yes,gateway.readinessGates[0].conditionType=example.com/lb"
PLATFORM+=",global.pods.extraEnv[0].name=EXTRA,global.pods.extraEnv[0].value=one,orders.pods.extraVolumes[0].name=more"
PLATFORM+=",orders.pods.extraVolumes[0].emptyDir.medium=Memory,orders.pods.extraVolumeMounts[0].name=more,orders.pods.extraVolumeMounts[0].mountPath=/more"
PLATFORM+=",gateway.valkey.host=cache.example.com,gateway.valkey.tls=true"
PLATFORM+=",gateway.image.digest=sha256:$(printf '0%.0s' {1..64}),gateway.serviceAccount.name=shared,orders.settings.SHUTDOWN_TIMEOUT=60"
PLATFORM+=",bootstrap.enabled=false,topics.enabled=false,users.migrations.enabled=false,global.networkPolicy.enabled=true"
PODS=global.pods.labels.team=shop,global.pods.annotations.example\\.com/scrape=yes,global.pods.extraEnv[0].name=EXTRA,global.pods.extraEnv[0].value=one
PODS+=,global.pods.extraVolumes[0].name=extra,global.pods.extraVolumes[0].emptyDir.medium=Memory
PODS+=,global.pods.extraVolumeMounts[0].name=extra,global.pods.extraVolumeMounts[0].mountPath=/extra
# Servers that only the settings of one process name: a pooler, a relay, a collector of metrics, receivers in a private network.
EDGES=$DEVELOPMENT,tests.tracesUrl=http://traces,notifications.settings.SMTP_SERVER=relay:25,notifications.settings.SMTP_FROM=a@example.com
EDGES+=,notifications.settings.DATABASE_POOLER=transaction,notifications.settings.DATABASE_URL=postgresql://notifications_runtime@pooler:6432/slipway
EDGES+=",notifications.settings.DATABASE_DIRECT_URL=postgresql://notifications_runtime@one.example.com\\,two.example.com:5433/slipway"
EDGES+=",notifications.settings.WEBHOOK_ALLOWED_NETWORKS=10.1.0.0/16\\, 192.168.4.5\\,fd00:1::/64"
EDGES+=,gateway.settings.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=https://metrics.example.com/v1/metrics,gateway.upstreams.users=http://others.example.com:81
EDGES+=,global.networkPolicy.gatewayFrom[0].namespaceSelector.matchLabels.name=ingress
NOTHING=secrets.generate=false,bootstrap.enabled=false,topics.enabled=false,users.migrations.enabled=false
NOTHING+=,orders.migrations.enabled=false,notifications.migrations.enabled=false,global.networkPolicy.enabled=false,global.pods.spread=none

# Each line: a chart, in braces what the error names where that is not the value's own name, and a wrong value.
WRONG=(
  "slipway global.publicUrl=" # in production
  "slipway global.publicUrl=http://shop.example.com" # likewise
  "slipway global.publicUrl=https://192.0.2.1" # no domain for passkeys
  "slipway global.publicUrl=https://user@shop.example.com"
  "slipway global.publicUrl=,users.settings.PASSKEY_RP_ID=example.com" # without origins
  "service{publicUrl} name=users,accounts=true" # without a public address
  "service{publicUrl} name=notifications,smtp.server=mail.example.com:587,smtp.from=shop@example.com" # likewise
  "slipway global.environment=staging"
  "slipway orders.settings.DATABSE_POOL_SIZE=20" # no process reads it
  "slipway orders.settings.DATABASE_POOL_SIZE=many"
  "slipway orders.settings.DATABASE_URL=postgresql://orders_runtime:secret@db/slipway" # a password in a ConfigMap
  "slipway orders.settings.DATABASE_PASSWORD=secret" # likewise
  "slipway notifications.settings.WEBHOOK_KEYS=secret" # likewise
  "slipway orders.settings.PORT=80" # the chart decides it
  "slipway gateway.settings.SHUTDOWN_TIMEOUT=1000"
  "slipway gateway.settings.LOG_LEVEL=LOUD"
  "slipway gateway.settings.SLIPWAY_LIMITS=off" # in production
  "slipway users.settings.SLIPWAY_LIMITS=off" # likewise
  "slipway gateway.settings.TRUST_CLIENT_TRACES=true" # likewise
  "slipway orders.api.resources.requests.cpu=lots"
  "slipway orders.worker.resources.limits.memory=1 GB"
  "slipway orders.api.resources.requests.cup=1"
  "slipway orders.api.drainSeconds=1"
  "slipway{SHUTDOWN_TIMEOUT} orders.settings.SHUTDOWN_TIMEOUT=60,orders.api.terminationGracePeriodSeconds=70" # too short for both
  "slipway{SHUTDOWN_TIMEOUT} orders.worker.terminationGracePeriodSeconds=20" # likewise
  "slipway{maxConnections} orders.api.replicas=20" # more connections than PostgreSQL accepts
  "slipway{maxConnections} orders.api.replicas=4" # likewise, as the old pods drain while the new ones serve
  "slipway{maxConnections} orders.settings.DATABASE_POOL_SIZE=100" # likewise
  "slipway{minReplicas} orders.api.autoscaling.enabled=true,orders.api.autoscaling.minReplicas=9"
  "slipway{prometheusUrl} orders.worker.autoscaling.enabled=true" # without Prometheus
  "slipway{TRUSTED_PROXIES} gateway.ingress.enabled=true,gateway.ingress.host=api.example.com" # without TRUSTED_PROXIES
  "slipway{ingress.host} gateway.ingress.enabled=true,gateway.settings.TRUSTED_PROXIES=10.0.0.0/8" # without a host
  "slipway{parentRefs} gateway.httpRoute.enabled=true,gateway.settings.TRUSTED_PROXIES=10.0.0.0/8" # without a parent
  "slipway gateway.image.digest=abc"
  "slipway global.pods.priorityClass=high"
  "slipway global.openshift=perhaps"
  "slipway-infra global.openshift=perhaps"
  "slipway{readinessGates} global.pods.readinessGates[0].conditionType=example.com/lb" # no load balancer sets it on a worker
  "slipway global.pods.extraEnv[0].name=SHUTDOWN_TIMEOUT,global.pods.extraEnv[0].value=60" # settings has it
  "slipway global.networkPolicy.kafka[0].ipBlock.cidr=10.0.0.1"
  "slipway global.networkPolicy.dnsPorts=53" # no list
  "gateway service.ipFamilyPolicy=DualStack"
  "gateway service.ipFamilies[0]=ipv6"
  "slipway{security/username} global.kafka.security.protocol=SASL_SSL" # without a user
  "slipway{kafka/security} global.kafka.security.protocol=SASL_PLAINTEXT,global.kafka.security.mechanism=PLAIN,global.kafka.security.username=a,global.kafka.security.existingSecret=b"
  "slipway{privateCa} global.privateCa.secret=a,global.privateCa.configMap=b"
  "slipway global.kafka.bootstrapServers=kafka"
  "slipway global.kafka.strimziCluster=No_Name"
  "slipway global.tracing.sampling=2"
  "slipway global.image.tags=one"
  "slipway topics.replicationFactor=three"
  "slipway topics.partitions.orders=0"
  "slipway{slipway.payments} topics.partitions.slipway\\.payments=12" # no such topic
  "slipway bootstrap.superuser.existingSecret="
  "slipway demoData=true" # in production
  "slipway tests.tracesUrl=http://traces:4318" # likewise
  "slipway orders.api.replicas=-1"
  "slipway orders.name=shop" # it is called by its alias
  "slipway{order} order.api.replicas=2"
  "slipway users.firstAdmin.email=nobody"
  "slipway orders.firstAdmin.email=admin@example.com" # it keeps no accounts
  "slipway gateway.service.port=0"
  "slipway gateway.service.externalTrafficPolicy=local"
  "slipway notifications.settings.lower=1"
  "slipway{smtp/from} notifications.smtp.server=mail.example.com:587" # without a sender
  "slipway notifications.smtp.server=mail.example.com"
  "slipway notifications.smtp.tls=ssl"
  "slipway{existingSecret} notifications.smtp.username=mailer" # without a password
  "gateway upstreams.users=users:8000"
  "service{name=orders} worker.replicas=1" # without a name
  "service name=Orders"
  "service{endpoint} name=orders,global.tracing.endpoint=traces:4318"
  "service{replicas} name=users,worker.replicas=many"
  "service{migration} name=orders,migration.enabled=false"
  "service{existingSecret} name=notifications,database.existingSecret=Not_A_Name"
  "slipway-infra kafka.clusterId=short"
  "slipway-infra postgres.storage.size=5"
  "slipway-infra cloudnativepg.enabled=true" # beside postgres
  "slipway-infra strimzi.enabled=true" # beside kafka
  "slipway-infra externalSecrets.secrets[0].name=a,externalSecrets.secrets[0].remoteKey=b" # without a store
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

arguments_of() { # CHART: what it can't be rendered without
  [[ $1 != slipway ]] || printf '%s\n' "${NEEDED[@]}"
}

for document in schemas readmes; do .venv/bin/python deploy/kubernetes/$document.py --check; done
.venv/bin/python deploy/kubernetes/manifests.py "$HELM" --check

for chart in gateway slipway-infra; do lint_and_render "$chart" "$chart"; done
lint_and_render slipway slipway "${NEEDED[@]}"
for service in "${SERVICES[@]}"; do lint_and_render "$service" service --set "name=$service"; done
for chart in slipway slipway-infra; do
  mapfile -t needed < <(arguments_of "$chart")
  lint_and_render "$chart-production" "$chart" "${needed[@]}" --values "helm/$chart/values-production.yaml"
done
render development slipway --set "$DEVELOPMENT"
render strimzi slipway "${NEEDED[@]}" --set "$STRIMZI"
render platform slipway "${NEEDED[@]}" --set "$PLATFORM"
grep -q 'VALKEY_URL: "valkeys://cache.example.com:6379/0"' "$rendered/platform.yaml" || die "gateway.valkey.tls has no effect on VALKEY_URL. Correct helm/gateway."
render nothing slipway "${NEEDED[@]}" --set "$NOTHING"
render edges slipway --set "$EDGES"
render balancer gateway --set 'service.type=LoadBalancer,service.ipFamilyPolicy=PreferDualStack,service.ipFamilies={IPv6,IPv4}'
grep -q '^  externalTrafficPolicy: Local$' "$rendered/balancer.yaml" || die "a load balancer would hide the clients' addresses, by which the gateway limits them. Correct helm/gateway."
render ingress gateway --set "$INGRESS"
render route gateway --set "$ROUTE"
render store slipway-infra --set "$STORE"
.venv/bin/python deploy/kubernetes/check_secrets.py "$rendered"/*.yaml
render existing slipway "${NEEDED[@]}" --set "$EXISTING" # its Valkey has no password
.venv/bin/python deploy/kubernetes/check_public_url.py "$rendered/existing.yaml" https://shop.example.com:8443/front
.venv/bin/python deploy/kubernetes/check_strimzi.py "$rendered/strimzi.yaml" helm/slipway/topics.json 3
render strimzi-one slipway "${NEEDED[@]}" --set "$STRIMZI,topics.replicationFactor=1" # one broker
.venv/bin/python deploy/kubernetes/check_strimzi.py "$rendered/strimzi-one.yaml" helm/slipway/topics.json 1
render strimzi-users slipway "${NEEDED[@]}" --set "$STRIMZI,topics.enabled=false"
.venv/bin/python deploy/kubernetes/check_strimzi.py "$rendered/strimzi-users.yaml" helm/slipway/topics.json 0
rm "$rendered"/strimzi-{one,users}.yaml
.venv/bin/python deploy/kubernetes/check_rollout.py "$rendered"/*.yaml
.venv/bin/python deploy/kubernetes/check_edges.py "$rendered"/*.yaml
render pods slipway --set "$DEVELOPMENT,$PODS"
.venv/bin/python deploy/kubernetes/check_pods.py "$rendered/pods.yaml"
render openshift slipway --set "$DEVELOPMENT,global.openshift=true"
render openshift-infra slipway-infra --set global.openshift=true
if grep -nE '^ *(runAsUser|runAsGroup|fsGroup):' "$rendered"/openshift*.yaml; then
  die "OpenShift's restricted-v2 rejects a pod that names a user or a group. Correct helm/."
fi
rm "$rendered"/openshift*.yaml # of equal resources check_custom.py keeps one, and checkov wants a user in each pod
.venv/bin/python deploy/kubernetes/check_lookups.py "$HELM"
.venv/bin/python deploy/kubernetes/check_gitops.py "$HELM"
.venv/bin/python deploy/kubernetes/check_alone.py "$HELM"
# As Flux installs a chart from a registry: it appends a digest to the version. And the longest tag.
for chart in slipway slipway-infra; do
  mapfile -t needed < <(arguments_of "$chart")
  "$HELM" package "helm/$chart" --version "0.1.0+ab12cd34ef56" --destination "$rendered/registry" >/dev/null
  "$HELM" template slipway "$rendered/registry/$chart-"*.tgz --kube-version "$KUBERNETES_VERSION" "${needed[@]}" \
    --set "global.image.tag=$(printf 'a%.0s' {1..127})-" > "$rendered/flux-$chart.yaml"
  rm -r "$rendered/registry"
done
.venv/bin/python deploy/kubernetes/check_labels.py "$rendered"/*.yaml
rm "$rendered"/flux-*.yaml
find_kustomize
for chart in slipway slipway-infra; do "${KUSTOMIZE[@]}" "deploy/kubernetes/kubectl/$chart" > "$rendered/kubectl-$chart.yaml"; done
# A release that is named like a service or the gateway: each address is that of a Service, and alerts find their pods.
for name in orders gateway; do
  "$HELM" template "$name" helm/slipway --kube-version "$KUBERNETES_VERSION" "${NEEDED[@]}" \
    --values helm/slipway/values-production.yaml > "$rendered/named-$name.yaml"
done
.venv/bin/python deploy/kubernetes/check_addresses.py "$rendered"/{named-orders,named-gateway,slipway,slipway-production}.yaml
.venv/bin/python deploy/kubernetes/check_monitors.py "$rendered"/{named-orders,named-gateway,slipway-production}.yaml
rm "$rendered"/named-*.yaml
renderings=$(find "$rendered" -type f | wc -l)
cp deploy/gitops/*/*.yaml "$rendered" # check_custom.py leaves nothing of them
.venv/bin/python deploy/kubernetes/check_custom.py "$rendered"/*.yaml
# The check itself is tried: a field that an operator does not know.
render unknown slipway-infra --values helm/slipway-infra/values-production.yaml --set cloudnativepg.spec.nonsense=1
if .venv/bin/python deploy/kubernetes/check_custom.py "$rendered/unknown.yaml" 2>/dev/null; then
  die "check_custom.py accepts a field that CloudNativePG does not know. Correct it."
fi
rm "$rendered/unknown.yaml"
find "$rendered" -size -2c -delete # a rendering that has nothing of its own
for version in "${VERSIONS[@]}"; do
  "$UV" tool run --quiet --from "$VALIDATOR" kubernetes-validate --strict --quiet \
    --kubernetes-version "$version" "$rendered"/*.yaml
done
"$UV" tool run --quiet --from "$CHECKOV" checkov --config-file deploy/kubernetes/checkov.yaml --skip-download \
  --directory "$rendered"
for wrong in "${WRONG[@]}"; do
  read -r chart value <<< "$wrong"
  mapfile -t needed < <(arguments_of "${chart%%\{*}")
  # The error must name the value, or what a remark in braces says: another error would prove nothing.
  name=${value%%=*}
  name=${name##*.}
  [[ $chart =~ ^(.*)\{(.*)\}$ ]] && chart=${BASH_REMATCH[1]} name=${BASH_REMATCH[2]}
  if render refused "$chart" "${needed[@]}" --set "$value" 2> "$rendered/error"; then
    die "helm/$chart accepts $value. Correct its values.schema.json, which must reject it."
  fi
  grep -qi -- "${name%%[*}" "$rendered/error" || die "helm/$chart rejects $value without naming ${name%%[*}: $(< "$rendered/error")"
done
say "charts: $renderings renderings valid for Kubernetes ${VERSIONS[*]}, ${#WRONG[@]} wrong values refused"
