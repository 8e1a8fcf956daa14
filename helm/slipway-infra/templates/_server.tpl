{{- define "infra.name" -}}
{{ .root.Release.Name }}-{{ .server }}
{{- end }}

{{- define "infra.selector" -}}
app.kubernetes.io/name: {{ .server }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Without the chart's version: a new chart that changes nothing of a server must not restart it. */}}
{{- define "infra.podLabels" -}}
{{ include "infra.selector" . }}
app.kubernetes.io/part-of: slipway
{{- end }}

{{- define "infra.labels" -}}
{{ include "infra.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* A headless Service, as each server is one pod. Takes root, server and port. */}}
{{- define "infra.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "infra.name" . }}
  labels:
    {{- include "infra.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "infra.selector" . | nindent 4 }}
  ports:
    - name: {{ .server }}
      port: {{ .port }}
      targetPort: {{ .port }}
{{- end }}

{{/* A pod that passes the pod security standard "restricted". Takes root and user. */}}
{{- define "infra.podBasics" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- if not .root.Values.global.openshift }}
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The image of ours. Takes the chart's root. */}}
{{- define "infra.ownImage" -}}
{{- $image := .Values.global.image | default dict -}}
{{- with $image.registry }}{{ . }}/{{ end }}slipway/slipway:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Takes root and server. */}}
{{- define "infra.containerBasics" -}}
{{- $values := index .root.Values .server -}}
image: {{ $values.image | default (include "infra.ownImage" .root) }}
imagePullPolicy: {{ .root.Values.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $values.resources | nindent 2 }}
{{- end }}

{{/* One pod with one volume. Takes root, server, port, user, mountPath, scratch (writable paths), container (YAML). */}}
{{- define "infra.statefulset" -}}
{{- $storage := (index .root.Values .server).storage -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "infra.name" . }}
  labels:
    {{- include "infra.labels" . | nindent 4 }}
  annotations:
    checkov.io/skip1: CKV_K8S_40=the user of the official image
    checkov.io/skip2: CKV_K8S_35=the official image reads its password from the environment; a server for development
spec:
  serviceName: {{ include "infra.name" . }}
  replicas: 1
  selector:
    matchLabels:
      {{- include "infra.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "infra.podLabels" . | nindent 8 }}
    spec:
      {{- include "infra.podBasics" . | nindent 6 }}
      terminationGracePeriodSeconds: 60
      containers:
        - name: {{ .server }}
          {{- include "infra.containerBasics" . | nindent 10 }}
          ports:
            - name: {{ .server }}
              containerPort: {{ .port }}
          {{- .container | nindent 10 }}
          volumeMounts:
            - { name: data, mountPath: {{ .mountPath }} }
            {{- range $index, $path := .scratch }}
            - { name: scratch-{{ $index }}, mountPath: {{ $path }} }
            {{- end }}
      volumes:
        {{- range $index, $path := .scratch }}
        - name: scratch-{{ $index }}
          emptyDir: { sizeLimit: 128Mi }
        {{- end }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $storage.className }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $storage.size }}
{{- end }}

{{- define "infra.secretName" -}}
{{ (index .root.Values .server).existingSecret | default (include "infra.name" .) }}
{{- end }}

{{/* A password that is generated once. An upgrade and an uninstall keep it, like the data. Takes root and server. */}}
{{- define "infra.secret" -}}
{{- $name := include "infra.name" . -}}
{{- $old := lookup "v1" "Secret" .root.Release.Namespace $name -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  labels:
    {{- include "infra.labels" . | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
type: Opaque
data:
  password: {{ dig "data" "password" "" $old | default (randAlphaNum 32 | b64enc) }}
{{- end }}
