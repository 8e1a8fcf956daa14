#!/usr/bin/env bash
# Rehearses operators' changes on a running release, and checks that no process is restarted:
# changes a password (docs/runbooks/database.md), replaces the pods behind a Service, rotates the signing keys
# (docs/runbooks/keys.md). The release must have been installed by helm/slipway, with demo data.
#
#   deploy/kubernetes/rehearse.sh NAMESPACE [RELEASE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source deploy/kubernetes/tools.sh

NAMESPACE=${1:?name the namespace}
RELEASE=${2:-slipway}
SERVICE=orders

kube() { kubectl --namespace "$NAMESPACE" "$@"; }
play() { # the way of one order
  "$HELM" --namespace "$NAMESPACE" test "$RELEASE" --timeout 3m --logs > "$work/test.txt" \
    || { cat "$work/test.txt" >&2; die "helm test failed after: $1. Its output is above."; }
}

# Prints names and restarts of the release's pods, without jobs.
processes() {
  kube get pods --selector "app.kubernetes.io/instance=$RELEASE,app.kubernetes.io/component in (api,worker)" \
    --output jsonpath='{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort
}

pods_of() { # SERVICE: its API process and its worker
  kube get pods --selector "app.kubernetes.io/instance=$RELEASE,app.kubernetes.io/name=$1,app.kubernetes.io/component in (api,worker)" \
    --output name
}

metrics() { # POD: its page of metrics, by way of the API server
  kubectl get --raw "/api/v1/namespaces/$NAMESPACE/pods/${1#pod/}:9000/proxy/metrics"
}

await() { # SECONDS WHAT COMMAND…
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < end)) || die "timed out waiting until $what. See: kubectl --namespace $NAMESPACE get events"
    sleep 2
  done
}

all_have_the_password() { # PASSWORD: the kubelet has replaced the file in each pod
  local pod
  for pod in $(pods_of "$SERVICE"); do
    [[ $(kube exec "$pod" -- cat /var/lib/slipway/secrets/database_password) == "$1" ]] || return 1
  done
}

all_reach_the_database() {
  local pod
  for pod in $(pods_of "$SERVICE"); do
    metrics "$pod" > "$work/metrics.txt"
    grep -q '^database_reachable{.*} 1' "$work/metrics.txt" || return 1
    ! grep -q '^database_reachable{.*} 0' "$work/metrics.txt" || return 1
  done
}

password_changes() {
  local secret=$RELEASE-$SERVICE-database password
  password=$(openssl rand -hex 24)
  kube patch secret "$secret" --type merge --patch "{\"stringData\": {\"runtime-password\": \"$password\"}}" >/dev/null
  "$HELM" --namespace "$NAMESPACE" upgrade "$RELEASE" helm/slipway --reuse-values --wait --timeout 10m >/dev/null
  # Open connections keep working with the old password. End them, so that new ones need the new one.
  kube exec slipway-infra-postgres-0 -- psql --quiet --username postgres --command \
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${SERVICE}_runtime'" >/dev/null
  await 180 "the new password is in each pod of $SERVICE" all_have_the_password "$password"
  play "a change of the password of $SERVICE"
  await 90 "all processes of $SERVICE reach their database" all_reach_the_database
}

addresses_change() {
  local before
  before=$(kube get pods --selector "app.kubernetes.io/name=$SERVICE" --output jsonpath='{.items[*].status.podIP}')
  # shellcheck disable=SC2046  # names are words
  kube delete --wait=true $(pods_of "$SERVICE") >/dev/null
  kube rollout status "deployment/$RELEASE-$SERVICE" --timeout 3m >/dev/null
  kube rollout status "deployment/$RELEASE-$SERVICE-worker" --timeout 3m >/dev/null
  [[ $(kube get pods --selector "app.kubernetes.io/name=$SERVICE" --output jsonpath='{.items[*].status.podIP}') != "$before" ]] \
    || die "the pods of $SERVICE still have their old addresses, so nothing was rehearsed"
  play "new pods of $SERVICE"
}

gateway_keys() { # how many public keys the gateway reads
  kubectl get --raw "/api/v1/namespaces/$NAMESPACE/services/$RELEASE-gateway:http/proxy/.well-known/jwks.json" \
    | .venv/bin/python -c 'import json, sys; print(len(json.load(sys.stdin)["keys"]))'
}

gateway_has() { [[ $(gateway_keys) == "$1" ]]; }

# The steps of the runbook, in its order.
change_keys() { # ACTION
  (
    umask 077
    cd "$work"
    for file in signing public; do
      kube get secret "$RELEASE-keys" -o "jsonpath={.data.$file\.jwks\.json}" | base64 -d > $file.jwks.json
    done
    "$OLDPWD/.venv/bin/slipway" keys "$1" --private signing.jwks.json --public public.jwks.json >/dev/null
    kube create secret generic "$RELEASE-keys" --from-file=signing.jwks.json --from-file=public.jwks.json \
      --dry-run=client -o yaml | kube apply -f - >/dev/null 2>&1
    rm signing.jwks.json public.jwks.json
  )
}

keys_rotate() {
  change_keys rotate
  await 180 "the new key is published" gateway_has 2
  play "a new signing key"
  change_keys retire
  await 180 "the old key is gone" gateway_has 1
  play "the end of the old signing key"
}

find_helm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
addresses_change
before=$(processes)
password_changes
keys_rotate
[[ $(processes) == "$before" ]] || die "a process was restarted or replaced. Before: $before Now: $(processes)"
say "rehearsed: new pods of $SERVICE, a new password of its database, new signing keys; no process was restarted"
