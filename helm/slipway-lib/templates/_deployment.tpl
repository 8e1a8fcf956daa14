{{/* Seconds between SIGTERM and SIGKILL that a process needs: its requests, and 10 s to close its connections. Takes root. */}}
{{- define "slipway-lib.stopSeconds" -}}
{{- $timeout := get .root.Values.settings "SHUTDOWN_TIMEOUT" | default 20 | int -}}
{{ add $timeout 10 }}
{{- end }}

{{/*
One process of a service as a Deployment.
Takes root, component (api or worker), args (the module that runs and its arguments), values (replicas, resources, …),
own (settings that only this service has), secrets (a list for slipway-lib.secrets), once (names of the Secrets that are read
only at the start), signing (whether the private keys are mounted), kafka (whether it connects to Kafka) and readinessGates.
*/}}
{{- define "slipway-lib.deployment" -}}
{{- $api := eq .component "api" -}}
{{- $name := include "slipway-lib.fullname" .root -}}
{{- $pods := include "slipway-lib.pods" . | fromYaml -}}
{{- $cluster := ternary .root.Values.global.kafka.strimziCluster "" (.kafka | default false) -}}
{{- $drain := ternary (.values.drainSeconds | default 0 | int) 0 $api -}}
{{- $needed := add $drain (include "slipway-lib.stopSeconds" . | int) -}}
{{- $grace := .values.terminationGracePeriodSeconds | default $needed | int -}}
{{- if lt $grace ($needed | int) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds of %s is %d, but drainSeconds, SHUTDOWN_TIMEOUT and 10 s need %d: the kubelet would kill open requests. Raise it, lower SHUTDOWN_TIMEOUT, or leave it 0 to have it computed." .component $name $grace $needed) -}}
{{- end -}}
{{- $state := include "slipway-lib.secretsState" (dict "root" .root "names" (.once | default list)) | trim -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}{{ if not $api }}-{{ .component }}{{ end }}
  labels:
    {{- include "slipway-lib.labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  # The new pod is ready before an old one stops, also where there is only one.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "slipway-lib.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "slipway-lib.labels" . | nindent 8 }}
        {{- with include "slipway-lib.podLabels" . }}
        {{- . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/settings: {{ include "slipway-lib.settings" . | sha256sum }}
        {{- with $state }}
        checksum/secrets: {{ sha256sum . }}
        {{- end }}
        {{- with include "slipway-lib.podAnnotations" . }}
        {{- . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "slipway-lib.podBasics" . | nindent 6 }}
      serviceAccountName: {{ include "slipway-lib.serviceAccount" .root }}
      terminationGracePeriodSeconds: {{ $grace }}
      {{- with .readinessGates }}
      readinessGates:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          args: {{ .args | toJson }}
          {{- include "slipway-lib.containerBasics" (dict "root" .root "resources" .values.resources) | nindent 10 }}
          envFrom:
            - configMapRef:
                name: {{ $name }}
          {{- with $pods.extraEnv }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- if $api }}
            - name: http
              containerPort: 8000
            {{- end }}
            - name: internal
              containerPort: 9000
          startupProbe:
            httpGet: { path: /healthz/startup, port: internal }
            periodSeconds: 1
            timeoutSeconds: 3
            failureThreshold: 120
          # It never depends on another system, or an outage of PostgreSQL would restart every process.
          livenessProbe:
            httpGet: { path: /healthz/live, port: internal }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: { path: /healthz/ready, port: internal }
            periodSeconds: 5
            timeoutSeconds: 3
          {{- if $drain }}
          # While this sleeps, the pod leaves its Service, and clients forget its address. Until then it serves as before.
          lifecycle:
            preStop:
              sleep:
                seconds: {{ $drain }}
          {{- end }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            - { name: public-keys, mountPath: /var/lib/slipway/public, readOnly: true }
            {{- if .secrets }}
            - { name: secrets, mountPath: /var/lib/slipway/secrets, readOnly: true }
            {{- end }}
            {{- if .signing }}
            - { name: signing-keys, mountPath: /var/lib/slipway/signing, readOnly: true }
            {{- end }}
            {{- if $cluster }}
            - { name: kafka-ca, mountPath: /var/lib/slipway/kafka, readOnly: true }
            {{- end }}
            {{- with include "slipway-lib.moreMounts" .root | trim }}
            {{- . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        - name: public-keys
          secret:
            secretName: {{ include "slipway-lib.keysSecret" .root }}
            defaultMode: 0440
            items: [{ key: public.jwks.json, path: public.jwks.json }]
        {{- with .secrets }}
        {{- include "slipway-lib.secrets" . | nindent 8 }}
        {{- end }}
        {{- if .signing }}
        - name: signing-keys
          secret:
            secretName: {{ include "slipway-lib.keysSecret" .root }}
            defaultMode: 0440
            items: [{ key: signing.jwks.json, path: signing.jwks.json }]
        {{- end }}
        {{- with $cluster }}
        - name: kafka-ca
          secret:
            secretName: {{ . }}-cluster-ca-cert
            defaultMode: 0440
            items: [{ key: ca.crt, path: ca.crt }]
        {{- end }}
        {{- with include "slipway-lib.moreVolumes" .root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
{{- include "slipway-lib.disruption" . }}
{{- include "slipway-lib.autoscaling" . }}
{{- end }}

{{/* The account of a chart's pods. It has no rights, and its token is never mounted. */}}
{{- define "slipway-lib.account" -}}
{{- if not .Values.serviceAccount.name }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "slipway-lib.fullname" . }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" . "component" "account") | nindent 4 }}
  {{- with .Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}
{{- end }}
