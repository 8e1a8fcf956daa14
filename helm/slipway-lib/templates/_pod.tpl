{{/* The common values of pods: those of the chart win over the global ones. Takes root. */}}
{{- define "slipway-lib.pods" -}}
{{ mergeOverwrite (deepCopy .root.Values.global.pods) (.root.Values.pods | default dict) | toYaml }}
{{- end }}

{{/*
The common part of all our pods. It fulfils the pod security standard "restricted". Takes root; component where the pods of
a Deployment spread.
*/}}
{{- define "slipway-lib.podBasics" -}}
{{- $pods := include "slipway-lib.pods" . | fromYaml -}}
automountServiceAccountToken: false
# Otherwise a Service named users would set USERS_PORT, which is the name of a setting.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- if not .root.Values.global.openshift }}
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.global.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pods.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .component (ne $pods.spread "none") }}
# matchLabelKeys: the pods of the release that is being replaced do not count.
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq $pods.spread "required") }}
    labelSelector:
      matchLabels:
        {{- include "slipway-lib.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations that the values add to pods. Takes root. */}}
{{- define "slipway-lib.podLabels" -}}
{{- with (include "slipway-lib.pods" . | fromYaml).labels }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "slipway-lib.podAnnotations" -}}
{{- with (include "slipway-lib.pods" . | fromYaml).annotations }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Takes root and resources; image where it is not this chart's. */}}
{{- define "slipway-lib.containerBasics" -}}
image: {{ .image | default (include "slipway-lib.image" .root) }}
imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{/*
Secrets as files, one for each setting. The kubelet replaces a file when its Secret changes, and the process reads it again
for each connection. An environment variable or a subPath would never change after the pod has started.
Takes a list of setting, secret and key.
*/}}
{{- define "slipway-lib.secrets" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items: [{ key: {{ .key }}, path: {{ .setting }} }]
      {{- end }}
{{- end }}

{{/*
A text that changes with the content of Secrets, for pods that read them only at their start, and for jobs. A Secret that is
as its job created it counts as nothing: at the installation it does not exist yet, and the first upgrade must not restart
every pod for it. Without access to the cluster (helm template, Argo CD) all count as nothing. Takes root and names.
*/}}
{{- define "slipway-lib.secretsState" -}}
{{- range .names | uniq | sortAlpha }}
{{- $secret := lookup "v1" "Secret" $.root.Release.Namespace . }}
{{- if $secret }}
{{- $managers := dig "metadata" "managedFields" list $secret }}
{{- $untouched := and (eq (len $managers) 1) (eq (dig "time" "" (first $managers)) $secret.metadata.creationTimestamp) }}
{{- $ours := eq (dig "metadata" "labels" "app.kubernetes.io/instance" "" $secret) $.root.Release.Name }}
{{- if not (and $untouched $ours) }}
{{ . }}: {{ $secret.data | default dict | toJson | sha256sum }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What all containers have besides their own: the private CA, and what the values add. Volumes, then mounts. Takes the root. */}}
{{- define "slipway-lib.moreVolumes" -}}
{{- with .Values.global.privateCa }}
{{- if .secret }}
- name: private-ca
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{ key: {{ .key }}, path: ca.crt }]
{{- else if .configMap }}
- name: private-ca
  configMap:
    name: {{ .configMap }}
    items: [{ key: {{ .key }}, path: ca.crt }]
{{- end }}
{{- end }}
{{- with (include "slipway-lib.pods" (dict "root" .) | fromYaml).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "slipway-lib.moreMounts" -}}
{{- if or .Values.global.privateCa.secret .Values.global.privateCa.configMap }}
- { name: private-ca, mountPath: /var/lib/slipway/ca, readOnly: true }
{{- end }}
{{- with (include "slipway-lib.pods" (dict "root" .) | fromYaml).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The address of Postgres: the part of a URL after the role. */}}
{{- define "slipway-lib.databasePlace" -}}
{{- $database := .Values.global.database -}}
{{ $database.host }}:{{ $database.port }}/{{ $database.name }}{{ include "slipway-lib.databaseParameters" . }}
{{- end }}

{{- define "slipway-lib.databaseParameters" -}}
{{- $parameters := .Values.global.database.parameters | default "" -}}
{{- $ca := or .Values.global.privateCa.secret .Values.global.privateCa.configMap -}}
{{- if and $ca (contains "sslmode=verify-" $parameters) (not (contains "sslrootcert=" $parameters)) -}}
{{- $parameters = printf "%s&sslrootcert=/var/lib/slipway/ca/ca.crt" $parameters -}}
{{- end -}}
{{- with $parameters }}?{{ . }}{{ end -}}
{{- end }}
