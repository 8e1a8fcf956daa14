{{/* The steps of the job `prepare`: the arguments or the environment of each container. */}}

{{/* The Secrets that are created if they are missing: arguments of `slipway secrets make`, as a JSON list. */}}
{{- define "slipway.secretsArgs" -}}
{{- $args := list -}}
{{- range $service := include "slipway.services" . | fromJsonArray -}}
{{- if not (dig "database" "existingSecret" "" (index $.Values $service)) -}}
{{- range $entry := list "owner-password" "runtime-password" -}}
{{- $args = append $args (printf "--password=%s/%s" (include "slipway.databaseSecret" (dict "root" $ "service" $service)) $entry) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.users.firstAdmin.email (not .Values.users.firstAdmin.existingSecret) -}}
{{- $args = append $args (printf "--password=%s/password" (include "slipway.adminSecret" .)) -}}
{{- end -}}
{{- if not (dig "totp" "existingSecret" "" .Values.users) -}}
{{- $args = append $args (printf "--password=%s-totp/keys" .Release.Name) -}}
{{- end -}}
{{- range $name := list "unsubscribe" "webhooks" -}}
{{- if not (dig $name "existingSecret" "" $.Values.notifications) -}}
{{- $args = append $args (printf "--password=%s-%s/keys" $.Release.Name $name) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.global.auth.existingSecret -}}
{{- $args = append $args (printf "--keys=%s" (include "slipway-lib.keysSecret" .)) -}}
{{- end -}}
{{- if and .Values.secrets.generate $args -}}
{{- $labels := list (printf "--label=app.kubernetes.io/instance=%s" .Release.Name) "--label=app.kubernetes.io/part-of=slipway" -}}
{{ concat (list "slipway" "secrets" "make") $args $labels | toJson }}
{{- else -}}
[]
{{- end -}}
{{- end }}

{{/*
Whether the cluster lacks one of the Secrets that the step `secrets` creates: "true" or empty. Without access to the cluster
(helm template, Argo CD) it lacks all.
*/}}
{{- define "slipway.secretsMissing" -}}
{{- $missing := false -}}
{{- range include "slipway.secretsArgs" . | fromJsonArray -}}
{{- if regexMatch "^--(password|keys)=" . -}}
{{- $name := regexReplaceAll "^--[a-z]+=([^/]+).*$" . "${1}" -}}
{{- if not (lookup "v1" "Secret" $.Release.Namespace $name) }}{{ $missing = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $missing }}true{{ end -}}
{{- end }}

{{- define "slipway.bootstrapEnv" -}}
{{- $superuser := .Values.bootstrap.superuser }}
{{- $database := .Values.global.database }}
- { name: SLIPWAY_SERVICES, value: {{ include "slipway.services" . | fromJsonArray | join " " | quote }} }
- name: SUPERUSER_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ $superuser.existingSecret }}, key: {{ $superuser.key }} } }
- name: DATABASE_SUPERUSER_URL
  value: "postgresql://{{ $superuser.name }}:$(SUPERUSER_PASSWORD)@{{ $database.host }}:{{ $database.port }}/{{ $superuser.database }}{{ include "slipway-lib.databaseParameters" . }}"
- { name: DATABASE_NAME, value: {{ $database.name }} }
{{- range $service := include "slipway.services" . | fromJsonArray }}
{{- range $role := list "owner" "runtime" }}
- name: {{ printf "%s_%s_PASSWORD" (upper $service) (upper $role) }}
  valueFrom: { secretKeyRef: { name: {{ include "slipway.databaseSecret" (dict "root" $ "service" $service) }}, key: {{ $role }}-password } }
{{- end }}
{{- end }}
{{- end }}

{{- define "slipway.topicsEnv" -}}
{{- range $name, $value := include "slipway-lib.kafkaSettings" . | fromYaml }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- if hasPrefix "SASL" .Values.global.kafka.security.protocol }}
- name: KAFKA_SASL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .Values.global.kafka.security.existingSecret }}, key: {{ .Values.global.kafka.security.key }} } }
{{- end }}
{{- with .Values.topics.replicationFactor }}
- { name: KAFKA_TOPIC_REPLICATION_FACTOR, value: {{ quote . }} }
{{- end }}
{{- with .Values.topics.minInsyncReplicas }}
- { name: KAFKA_TOPIC_MIN_INSYNC_REPLICAS, value: {{ quote . }} }
{{- end }}
{{- with .Values.topics.partitions }}
{{- $counts := list }}
{{- range $name, $count := . }}{{ $counts = append $counts (printf "%s=%d" $name (int $count)) }}{{ end }}
- { name: KAFKA_TOPIC_PARTITIONS, value: {{ join "," $counts | quote }} }
{{- end }}
{{- end }}

{{/* One container. Takes root, name, args (JSON or list), env (YAML), resources, image, token. */}}
{{- define "slipway.step" -}}
- name: {{ .name }}
  args: {{ .args | toJson }}
  {{- include "slipway-lib.containerBasics" (dict "root" .root "resources" .resources "image" .image) | nindent 2 }}
  env:
    {{- include "slipway-lib.jobEnv" .root | nindent 4 }}
    {{- with .env | default "" | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  volumeMounts:
    - { name: tmp, mountPath: /tmp }
    {{- with include "slipway-lib.moreMounts" .root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- if .token }}
    - { name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
    {{- end }}
{{- end }}

{{/* The job's pod. Takes root, account and secrets (whether it creates Secrets). */}}
{{- define "slipway.preparePod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $secrets := list -}}
{{- if .secrets }}{{ $secrets = include "slipway.secretsArgs" $root | fromJsonArray }}{{ end -}}
{{- $services := include "slipway.services" $root | fromJsonArray -}}
{{- $migrations := list -}}
{{- range $services }}{{ if dig "migrations" "enabled" true (index $values .) }}{{ $migrations = append $migrations . }}{{ end }}{{ end -}}
{{- $topics := and $values.topics.enabled (not $values.global.kafka.strimziCluster) -}}
{{- include "slipway-lib.podBasics" (dict "root" $root) }}
{{- if $secrets }}
serviceAccountName: {{ .account }}
{{- end }}
restartPolicy: Never
{{- if or $secrets $values.bootstrap.enabled }}
# One after the other: each needs the one before it.
initContainers:
  {{- if $secrets }}
  # Only this container has a token of the API server.
  {{- include "slipway.step" (dict "root" $root "name" "secrets" "args" $secrets "resources" $values.jobs.resources "token" true) | nindent 2 }}
  {{- end }}
  {{- if $values.bootstrap.enabled }}
  {{- include "slipway.step" (dict "root" $root "name" "bootstrap" "args" (list "slipway" "db" "bootstrap") "resources" $values.jobs.resources "env" (include "slipway.bootstrapEnv" $root)) | nindent 2 }}
  {{- end }}
{{- end }}
# All at a time.
containers:
  {{- if $topics }}
  {{- include "slipway.step" (dict "root" $root "name" "topics" "args" (list "slipway" "topics" "apply") "resources" $values.jobs.resources "env" (include "slipway.topicsEnv" $root)) | nindent 2 }}
  {{- end }}
  {{- range $service := $migrations }}
  {{- $own := index $values $service }}
  {{- $chart := (index $root.Subcharts $service).Chart }}
  {{- $image := include "slipway-lib.imageOf" (dict "global" $values.global "package" $service "version" $chart.AppVersion "image" $own.image) }}
  {{- $secret := include "slipway.databaseSecret" (dict "root" $root "service" $service) }}
  {{- include "slipway.step" (dict "root" $root "name" (printf "migrate-%s" $service) "args" (list "chassis.run" $service "migrate") "resources" $own.migrations.resources "image" $image "env" (include "slipway-lib.ownerEnv" (dict "root" $root "service" $service "secret" $secret))) | nindent 2 }}
  {{- end }}
  {{- if not (or $topics $migrations) }}
  - name: done
    args: [platform]
    {{- include "slipway-lib.containerBasics" (dict "root" $root "resources" $values.jobs.resources) | nindent 4 }}
  {{- end }}
volumes:
  - name: tmp
    emptyDir: { sizeLimit: 64Mi }
  {{- if $secrets }}
  - name: api-token
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken: { path: token, expirationSeconds: 600 }
        - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
        - downwardAPI: { items: [{ path: namespace, fieldRef: { apiVersion: v1, fieldPath: metadata.namespace } }] }
  {{- end }}
  {{- with include "slipway-lib.moreVolumes" $root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Everything that decides what the job does: its pod, and the content of the Secrets that it reads. */}}
{{- define "slipway.prepareInputs" -}}
{{- $names := list .root.Values.bootstrap.superuser.existingSecret -}}
{{- range include "slipway.services" .root | fromJsonArray }}{{ $names = append $names (include "slipway.databaseSecret" (dict "root" $.root "service" .)) }}{{ end -}}
{{- with .root.Values.global.kafka.security.existingSecret }}{{ $names = append $names . }}{{ end -}}
{{ printf "%s\n%s" .pod (include "slipway-lib.secretsState" (dict "root" .root "names" $names) | trim) | sha256sum }}
{{- end }}
