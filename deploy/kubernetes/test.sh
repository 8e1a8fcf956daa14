#!/usr/bin/env bash
# Installs the charts into a new namespace on the cluster of the current context, places an order, compares what pods reach
# with the network policies, upgrades under load with one replica, lets a migration fail, rolls back, kills and evicts pods
# under load, rehearses operators' changes, uninstalls, and writes its figures to docs/kubernetes.md.
#
#   LOAD_RATE        requests/s during the changes, 1 of 10 an order (200)
#   IMAGE_LOADER     brings images from Docker into the cluster: "kind load docker-image" (the default), or another
#                    command that accepts images; "none" if the cluster has them
#   PYTHON_IMAGE, POSTGRES_IMAGE, KAFKA_IMAGE, VALKEY_IMAGE   if the official ones can't be reached
#   BUILD_NETWORK    Docker's network for the build
#   KEEP=1           keeps the namespace for inspection
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh
source deploy/kubernetes/disturb.sh

IMAGE_LOADER=${IMAGE_LOADER:-kind load docker-image}
POSTGRES_IMAGE=${POSTGRES_IMAGE:-postgres:18}
KAFKA_IMAGE=${KAFKA_IMAGE:-apache/kafka:4.1.0}
VALKEY_IMAGE=${VALKEY_IMAGE:-valkey/valkey:9}
NAMESPACE=slipway-test-$$
FIRST=test-$(date +%s) # never a tag that the cluster has seen
SECOND=$FIRST-second
THIRD=$FIRST-third
PAGE=docs/kubernetes.md
TRACES=http://slipway-infra-traces:4318
find_services
IMAGES=(slipway gateway "${SERVICES[@]}")

LOAD_RATE=${LOAD_RATE:-200}
faults=() # of the load, whose figures are written all the same

kube() { kubectl --namespace "$NAMESPACE" "$@"; }
helm_here() { "$HELM" --namespace "$NAMESPACE" "$@"; }

# Runs a command, and stores its seconds in the variable that is named first.
timed() { # VARIABLE COMMAND…
  local -n result=$1
  local start=$EPOCHREALTIME
  shift
  "$@"
  result=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.0f", b - a}')
  say "it took $result s" >&2
}

build_images() {
  local image
  for image in "${IMAGES[@]}"; do
    DOCKER_BUILDKIT=1 docker build --quiet --network "${BUILD_NETWORK:-default}" --file deploy/image/Dockerfile \
      ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} --build-arg "PACKAGE=$image" \
      --tag "slipway/$image:$FIRST" . >/dev/null
    docker tag "slipway/$image:$FIRST" "slipway/$image:$SECOND"
    docker tag "slipway/$image:$FIRST" "slipway/$image:$THIRD"
  done
}

load_images() {
  [[ $IMAGE_LOADER != none ]] || return 0
  local images=() image
  for image in "${IMAGES[@]}"; do images+=("slipway/$image":{"$FIRST","$SECOND","$THIRD"}); done
  for image in "$POSTGRES_IMAGE" "$KAFKA_IMAGE" "$VALKEY_IMAGE"; do
    docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null
    images+=("$image")
  done
  # Unquoted on purpose: a command with its arguments.
  # shellcheck disable=SC2086
  $IMAGE_LOADER "${images[@]}" >/dev/null
}

clean_up() {
  local status=$?
  ((status == 0)) || explain
  if [[ -n ${KEEP:-} ]]; then
    say "kept: namespace $NAMESPACE"
    return
  fi
  kubectl delete namespace "$NAMESPACE" "$NAMESPACE-node" --ignore-not-found --wait=false >/dev/null
  local image
  for image in "${IMAGES[@]}"; do
    docker rmi "slipway/$image":{"$FIRST","$SECOND","$THIRD"} >/dev/null 2>&1 || true
  done
}

explain() {
  say "failed; what the namespace says:" >&2
  kube get pods,jobs >&2 || true
  kube get events --sort-by=.lastTimestamp 2>/dev/null | tail -15 >&2 || true
  local pod
  for pod in $(kube get pods --field-selector=status.phase!=Succeeded --output name 2>/dev/null); do
    say "-- $pod" >&2
    kube logs "$pod" --all-containers --tail=8 >&2 2>/dev/null || true
  done
}

# Places an order, and checks that all pods have the same tag.
play() { # TAG
  local others
  others=$(kube get deployments --selector app.kubernetes.io/instance=slipway \
    --output jsonpath='{range .items[*]}{.spec.template.spec.containers[0].image}{"\n"}{end}' | grep -v ":$1\$" || true)
  [[ -z $others ]] || die "after this step all images must have the tag $1, but these have another: $others"
  helm_here test slipway --timeout 3m --logs > "$work/test.txt" || { cat "$work/test.txt" >&2; die "helm test failed"; }
  sed -n '/POD LOGS/,$p' "$work/test.txt" | grep -E '│|placed' || true
}

upgrade_values() { # NAME=VALUE…: an upgrade that changes nothing else
  local one set=()
  for one in "$@"; do set+=(--set "$one"); done
  helm_here upgrade slipway helm/slipway --wait --timeout 10m --reuse-values "${set[@]}" >/dev/null
}

secrets() { # a password that changed would show here
  kube get secrets --selector app.kubernetes.io/part-of=slipway \
    --output jsonpath='{range .items[*]}{.metadata.name} {.metadata.resourceVersion}{"\n"}{end}'
}

memory() { # name and Mi of each pod; waits for the first measurement, and says nothing without a metrics server
  local _
  for _ in {1..30}; do
    if kube top pods --no-headers > "$work/top.txt" 2>/dev/null && (($(wc -l < "$work/top.txt") >= 11)); then
      sed -E 's/^([a-z-]+)(-[0-9a-f]{6,10}-[a-z0-9]{5}|-0) +[0-9]+m +([0-9]+)Mi.*/\1 \3/' "$work/top.txt"
      return
    fi
    sleep 5
  done
}

requested() { # the sum of the requests of the running processes
  kube get pods --selector 'app.kubernetes.io/instance=slipway,app.kubernetes.io/component in (api,worker)' --output json \
    | python3 -c 'import json, sys
asked = [pod["spec"]["containers"][0]["resources"]["requests"] for pod in json.load(sys.stdin)["items"]
         if "deletionTimestamp" not in pod["metadata"]]
print(f"""{sum(int(each["cpu"].removesuffix("m")) for each in asked)}m CPU, """
      f"""{sum(int(each["memory"].removesuffix("Mi")) for each in asked)} MiB""")'
}

summary() { # LINE of load.py, as a sentence
  python3 - "$1" <<'PYTHON'
import json, sys
load = json.loads(sys.argv[1])
failed = sum(load["failed"].values())
kinds = f" ({', '.join(f'{n} × {name}' for name, n in load['failed'].items())}, within {load['failing_s']} s)" if failed else ""
print(
    f"{load['requests']} requests, {load['rate']}/s: {failed} failed{kinds}; {load['orders']} orders: {load['lost']} lost, "
    f"{load['doubled']} doubled, {load['pushes_missing']} not pushed, {load['pushes_doubled']} pushed twice; "
    f"p99 {load['p99_ms']} ms, longest {load['longest_ms']} ms"
)
PYTHON
}

figures() {
  local table
  table=$(
    cat <<TABLE
| what | figure |
|---|---|
| install \`slipway-infra\`, until ready | $infra s |
| install \`slipway\` (jobs, migrations, demo data), until ready | $install s |
| upgrade to another tag, no load, until ready | $quiet s |
| upgrade to another tag, one replica, under load, until ready | $upgrade s |
| upgrade of a setting (no job), until ready | $settings s |
| roll back three upgrades, until ready | $rollback s |
| load during the upgrade, one replica | $(summary "$under_load") |
| load while orders' worker, orders' API and the gateway get SIGKILL, one replica | $(summary "$under_kills") |
| load while a pod of gateway and orders is evicted, two replicas | $(summary "$under_evictions") |
| requests of the pods of \`slipway\` | $(requested) |
| network policies | $policies |
$(memory | while read -r name mebibytes; do echo "| memory of \`$name\` | $mebibytes MiB |"; done)

Kubernetes $(kubectl version --output json | python3 -c 'import json, sys; print(json.load(sys.stdin)["serverVersion"]["gitVersion"])'), one replica each, $(kubectl get nodes --no-headers | wc -l) node with $(kubectl get nodes --output jsonpath='{.items[0].status.capacity.cpu}') cores; images \`$POSTGRES_IMAGE\`, \`$KAFKA_IMAGE\`, \`$VALKEY_IMAGE\`; $(date --utc +%F).
TABLE
  )
  TABLE=$table python3 - "$PAGE" <<'PYTHON'
import os, pathlib, re, sys
page = pathlib.Path(sys.argv[1])
begin, end = "<!-- figures -->", "<!-- end of figures -->"
text = page.read_text()
assert begin in text and end in text, f"{page} has lost its markers {begin} and {end}"
page.write_text(re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{os.environ['TABLE']}\n{end}", text, flags=re.S))
PYTHON
  say "$table"
}

for tool in docker kubectl go; do command -v "$tool" >/dev/null || die "$tool is missing. Install it."; done
kubectl version >/dev/null 2>&1 || die "no cluster is available. Choose one with kubectl config use-context, or KUBECONFIG."
find_helm
work=$(mktemp -d)
bring_together
say "building images, tag $FIRST"
build_images
load_images
trap 'clean_up; rm -rf "$work"' EXIT
kubectl create namespace "$NAMESPACE" >/dev/null
kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted >/dev/null

say "dry-running what needs operators, an ingress controller or a Gateway"
render() { helm_here template slipway "helm/$1" --kube-version "$KUBERNETES_VERSION" "${@:2}"; }
render slipway "${NEEDED[@]}" --values helm/slipway/values-production.yaml > "$work/slipway.yaml"
render slipway-infra --values helm/slipway-infra/values-production.yaml > "$work/infra.yaml"
render gateway --set "$INGRESS" > "$work/ingress.yaml"
render gateway --set "$ROUTE" > "$work/route.yaml"
render slipway-infra --set "$STORE" > "$work/store.yaml"
.venv/bin/python deploy/kubernetes/dry_run.py "$NAMESPACE" "$work"/{slipway,infra,ingress,route,store}.yaml \
  deploy/gitops/*/*.yaml

say "installing slipway-infra into $NAMESPACE"
timed infra helm_here install slipway-infra helm/slipway-infra --wait --timeout 10m \
  --set "postgres.image=$POSTGRES_IMAGE,kafka.image=$KAFKA_IMAGE,valkey.image=$VALKEY_IMAGE" \
  --set "traces.image=slipway/slipway:$FIRST" >/dev/null

say "installing slipway"
timed install helm_here install slipway helm/slipway --wait --timeout 10m --set "global.image.tag=$FIRST" \
  --set global.environment=development,demoData=true,users.firstAdmin.email=admin@example.com \
  --set "global.tracing.endpoint=$TRACES,tests.tracesUrl=$TRACES" \
  --set gateway.settings.LIMIT_DEFAULT=5000/second >/dev/null # the load is one client, and sends in bursts after a stall
play "$FIRST"
before=$(secrets)

say "upgrading to $SECOND under load"
begin_load
policies_in_force
timed upgrade upgrade_values "global.image.tag=$SECOND"
end_load under_load "the upgrade" 50 # the old pods serve for drainSeconds, then close
play "$SECOND"

say "letting a migration fail"
failed_migration
play "$SECOND"

say "upgrading to $THIRD, and changing a setting"
timed quiet upgrade_values "global.image.tag=$THIRD"
timed settings upgrade_values orders.settings.DATABASE_POOL_TIMEOUT=4
play "$THIRD"

say "rolling back"
timed rollback helm_here rollback slipway 1 --wait --timeout 10m >/dev/null
play "$FIRST"
[[ $(secrets) == "$before" ]] || die "the upgrade changed Secrets, which it must keep. Now: $(secrets)"

say "killing processes under load, one replica each"
begin_load failures
kill_processes
end_load under_kills "three kills" 10

say "evicting pods under load, two replicas each"
upgrade_values gateway.api.replicas=2 orders.api.replicas=2
begin_load
evict_pods
end_load under_evictions "two evictions" 50
upgrade_values gateway.api.replicas=1 orders.api.replicas=1

say "rehearsing changes of a running release"
deploy/kubernetes/rehearse.sh "$NAMESPACE"
play "$FIRST"

figures

say "uninstalling"
kube delete pod slipway-order-path --ignore-not-found >/dev/null # Helm leaves the pod of its test
helm_here uninstall slipway --wait --timeout 5m >/dev/null
kube wait pods --selector app.kubernetes.io/instance=slipway --for=delete --timeout=3m >/dev/null # Helm waits for their owners
left=$(kube get all,configmap,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget --output name \
  --selector app.kubernetes.io/instance=slipway)
[[ -z $left ]] || die "after the uninstall these are left: $left"
((${#faults[@]} == 0)) || die "$(printf '%s\n' "${faults[@]}")"
