{{/* A drain may evict one pod at a time, and always one that is not ready. Takes what slipway-lib.deployment takes. */}}
{{- define "slipway-lib.disruption" }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "slipway-lib.fullname" .root }}{{ if ne .component "api" }}-{{ .component }}{{ end }}
  labels:
    {{- include "slipway-lib.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "slipway-lib.selector" . | nindent 6 }}
{{- end }}

{{/* An API by its CPU; a worker by what waits for it. */}}
{{- define "slipway-lib.autoscaling" }}
{{- $scaling := .values.autoscaling }}
{{- if $scaling.enabled }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling of %s: minReplicas %d is above maxReplicas %d" .component (include "slipway-lib.name" .root) (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- end }}
{{- if eq .component "api" }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "slipway-lib.fullname" .root }}
  labels:
    {{- include "slipway-lib.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "slipway-lib.fullname" .root }}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ $scaling.cpu }} }
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
{{- else }}
{{- $prometheus := .root.Values.global.monitoring.prometheusUrl | required (printf "%s.worker.autoscaling needs global.monitoring.prometheusUrl, from which KEDA reads lag and backlog" (include "slipway-lib.name" .root)) }}
{{- $pods := printf "namespace=\"%s\",pod=~\"%s-worker-.*\"" .root.Release.Namespace (include "slipway-lib.fullname" .root) }}
---
# Each worker shows the total of its service, hence max. A worker more than the topic has partitions would be idle.
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ include "slipway-lib.fullname" .root }}-worker
  labels:
    {{- include "slipway-lib.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    name: {{ include "slipway-lib.fullname" .root }}-worker
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  cooldownPeriod: 300
  # Without figures it keeps the number it has. A service that consumes nothing has no lag, which counts as 0.
  fallback:
    failureThreshold: 3
    replicas: {{ $scaling.minReplicas }}
    behavior: currentReplicasIfHigher
  triggers:
    - type: prometheus
      name: lag
      metadata:
        serverAddress: {{ $prometheus | quote }}
        query: {{ printf "sum(max by (topic) (consumer_lag_messages{%s}))" $pods | quote }}
        threshold: {{ $scaling.lag | quote }}
    - type: prometheus
      name: backlog
      metadata:
        serverAddress: {{ $prometheus | quote }}
        query: {{ printf "max(outbox_backlog_rows{%s})" $pods | quote }}
        threshold: {{ $scaling.backlog | quote }}
        # Each worker has this figure. By default KEDA would take an empty result for 0, and remove workers.
        ignoreNullValues: "false"
{{- end }}
{{- end }}
{{- end }}

{{/* Prometheus' operator reads each pod's internal port, which is in no Service. Takes the chart's root. */}}
{{- define "slipway-lib.podMonitor" }}
{{- if .Values.global.monitoring.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "slipway-lib.fullname" . }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" . "component" "monitoring") | nindent 4 }}
    {{- with .Values.global.monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ include "slipway-lib.name" . }}
      app.kubernetes.io/instance: {{ .Release.Name }}
    matchExpressions:
      - { key: app.kubernetes.io/component, operator: In, values: [api, worker] }
  podTargetLabels: [app.kubernetes.io/name, app.kubernetes.io/component]
  podMetricsEndpoints:
    - port: internal
      path: /metrics
      interval: 15s
      # The rules and dashboards of deploy/ know a process by the label `job`: users, users-worker.
      relabelings:
        - sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_name]
          targetLabel: job
        - sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_name, __meta_kubernetes_pod_label_app_kubernetes_io_component]
          regex: (.+);worker
          replacement: $1-worker
          targetLabel: job
{{- end }}
{{- end }}
