# For test.sh, which sources it: load from a pod, and what disturbs a running release.
# shellcheck shell=bash
# The caller's variables: NAMESPACE, FIRST, LOAD_RATE, and faults, a list to which end_load adds.

# Sends load from a pod, until end_load. No network policy selects its labels, so that it is a stranger.
begin_load() { # [failures: requests may fail, but no order may be lost]
  kube create configmap load --from-file=deploy/kubernetes/load.py --dry-run=client --output yaml | kube apply -f - >/dev/null
  kube delete pod load --ignore-not-found >/dev/null
  kube apply -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: { name: load }
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: load
      image: slipway/slipway:$FIRST
      command: [python, /load/load.py, "http://slipway-gateway:8000", "$LOAD_RATE", /tmp/stop${1:+, $1}]
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
      resources: { requests: { cpu: 200m, memory: 64Mi } } # or it would be what stalls
      volumeMounts: [{ name: load, mountPath: /load }]
  volumes: [{ name: load, configMap: { name: load } }]
POD
  kube wait pod/load --for=condition=Ready --timeout=60s >/dev/null
  sleep 5 # a part of the load comes before the change
}

# Ends the load, and stores its line in the variable that is named. A fault does not end the run: the steps after it
# do not need this one, and without them a run on a slow machine would say nothing about the rest.
end_load() { # VARIABLE WHAT SECONDS
  sleep "$3"
  kube exec load -- touch /tmp/stop
  kube wait pod/load --for=jsonpath='{.status.containerStatuses[0].state.terminated.reason}' --timeout=180s >/dev/null || true
  printf -v "$1" '%s' "$(kube logs load | tail -1)"
  [[ ${!1} == "{"*"}" ]] || die "the load during $2 ended without a result; its last line is: ${!1}"
  say "load during $2: ${!1}"
  [[ $(kube get pod load --output jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}') == 0 ]] \
    || faults+=("requests failed, or orders were lost, doubled or not pushed, during $2: ${!1}")
}

# Prints those addresses that accept a connection from a pod, in one line.
reached() { # POD HOST:PORT…
  local pod=$1
  shift
  kube exec "$pod" -- python -c '
import concurrent.futures, socket, sys
def reached(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True
with concurrent.futures.ThreadPoolExecutor() as threads:
    for address, is_reached in zip(sys.argv[1:], threads.map(reached, sys.argv[1:])):
        if is_reached:
            print(address, end=" ")' "$@"
}

# Compares what pods reach with the edges that the policies name. Prints whether the cluster enforces them.
policies_in_force() {
  local servers=(slipway-infra-{postgres:5432,kafka:9092,valkey:6379}) apis=(slipway-{users,orders,notifications,gateway}:8000)
  local all=("${servers[@]}" "${apis[@]}" slipway-users:9000) pod wanted found others
  local -A edges=(
    [pod/load]="slipway-gateway:8000 "
    [deployment/slipway-orders]="slipway-infra-postgres:5432 slipway-infra-kafka:9092 "
    [deployment/slipway-orders-worker]="slipway-infra-postgres:5432 slipway-infra-kafka:9092 "
    [deployment/slipway-gateway]="slipway-infra-kafka:9092 slipway-infra-valkey:6379 slipway-users:8000 slipway-orders:8000 slipway-notifications:8000 "
  )
  if [[ $(reached pod/load "${all[@]}") == "${all[*]} " ]]; then
    say "this cluster's network enforces no policies: a stranger reaches every server"
    policies="not enforced by this cluster"
    return
  fi
  for pod in "${!edges[@]}"; do
    wanted=${edges[$pod]}
    mapfile -t others < <(printf '%s\n' "${all[@]}" | grep -v "^${pod#*/}:") # a pod always reaches itself
    found=$(reached "$pod" "${others[@]}")
    [[ $found == "$wanted" ]] || die "by the network policies $pod may reach: $wanted. It reaches: $found"
  done
  policies="enforced: ${#edges[@]} kinds of pods reach what they may, and nothing else, of ${#all[@]} addresses"
}

# Sends SIGKILL to the process of a pod, from its node: no process can send it to the first process of its own container.
kill_process() { # POD
  local uid name
  uid=$(kube get "$1" --output jsonpath='{.metadata.uid}')
  name=kill-${uid%%-*}
  kubectl get namespace "$NAMESPACE-node" >/dev/null 2>&1 || kubectl create namespace "$NAMESPACE-node" >/dev/null
  kubectl --namespace "$NAMESPACE-node" apply -f - >/dev/null <<POD
apiVersion: v1
kind: Pod
metadata: { name: $name }
spec:
  restartPolicy: Never
  hostPID: true
  nodeName: $(kube get "$1" --output jsonpath='{.spec.nodeName}')
  containers:
    - name: kill
      image: slipway/slipway:$FIRST
      securityContext: { privileged: true, runAsUser: 0 }
      command:
        - python
        - -c
        - |
          import os, pathlib
          names = {"$uid", "$uid".replace("-", "_")}
          killed = 0
          for process in pathlib.Path("/proc").glob("[0-9]*"):
              try:
                  group, command = (process / "cgroup").read_text(), (process / "cmdline").read_bytes()
              except OSError:
                  continue
              if any(name in group for name in names) and command.startswith(b"python"):
                  os.kill(int(process.name), 9)
                  killed += 1
          raise SystemExit(killed != 1)
POD
  kubectl --namespace "$NAMESPACE-node" wait "pod/$name" --for=jsonpath='{.status.phase}'=Succeeded --timeout=60s >/dev/null \
    || die "no process of $1 was killed"
}

pods_named() { # NAME COMPONENT: those that run, not those that end
  kube get pods --selector "app.kubernetes.io/instance=slipway,app.kubernetes.io/name=$1,app.kubernetes.io/component=$2" \
    --output go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}'
}

# Kills a worker, an API and the gateway, each the only one of its kind: requests fail until it is restarted.
kill_processes() {
  local name pod
  for name in orders.worker orders.api gateway.api; do
    pod=pod/$(pods_named "${name%.*}" "${name#*.}")
    kill_process "$pod"
    kube wait "$pod" --for=jsonpath='{.status.containerStatuses[0].restartCount}'=1 --timeout=60s >/dev/null \
      || die "$pod was not restarted after SIGKILL"
    kube wait "$pod" --for=condition=Ready --timeout=60s >/dev/null
  done
}

evict() { # POD: what a drain of its node asks for
  kubectl create --raw "/api/v1/namespaces/$NAMESPACE/pods/$1/eviction" -f - 2>&1 <<EVICTION
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "$1", "namespace": "$NAMESPACE"}}
EVICTION
}

# Of two replicas a drain may evict one, and the other only when the first has been replaced.
evict_pods() {
  local name pods answer
  for name in gateway orders; do
    mapfile -t pods < <(pods_named "$name" api)
    ((${#pods[@]} == 2)) || die "$name has not 2 pods but: ${pods[*]}"
    answer=$(evict "${pods[0]}") || die "the first eviction of $name was refused: $answer"
    if answer=$(evict "${pods[1]}"); then die "the disruption budget of $name let both of its pods be evicted at once"; fi
    grep -q "disruption budget" <<< "$answer" || die "the second eviction of $name failed, but not by its budget: $answer"
    kube rollout status "deployment/slipway-$name" --timeout 3m >/dev/null
  done
}

# A schema at a revision that the image does not know can't be migrated. The old release must serve.
failed_migration() {
  local before=() after=() logs
  psql_orders "UPDATE orders.alembic_version SET version_num = 'unknown-' || version_num"
  mapfile -t before < <(pods_named orders api)
  if upgrade_values jobs.skipUnchanged=false global.startupWait=5 2>/dev/null; then
    die "an upgrade whose migration must fail succeeded"
  fi
  logs=$(kube logs --selector job-name=slipway-prepare --container migrate-orders)
  [[ $logs == *unknown-* ]] || die "the upgrade failed, but not by its migration, whose log is: $logs"
  mapfile -t after < <(pods_named orders api)
  [[ ${before[*]} == "${after[*]}" ]] || die "an upgrade that failed has replaced pods"
  play "$SECOND"
  psql_orders "UPDATE orders.alembic_version SET version_num = replace(version_num, 'unknown-', '')"
  helm_here rollback slipway --wait --timeout 10m >/dev/null
}

psql_orders() { # SQL
  kube exec slipway-infra-postgres-0 -- psql --quiet --username postgres --dbname slipway --command "$1" >/dev/null
}
