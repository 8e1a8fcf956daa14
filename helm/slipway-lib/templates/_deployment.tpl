{{/*
One process of a service as a Deployment.
Takes root, component (api or worker), args (the module that runs and its arguments), values (replicas, resources), own (settings that only this service has),
secrets (a list for slipway-lib.secrets), signing (whether the private keys are mounted) and kafka (whether it connects to
Kafka).
*/}}
{{- define "slipway-lib.deployment" -}}
{{- $api := eq .component "api" -}}
{{- $name := include "slipway-lib.fullname" .root -}}
{{- $cluster := ternary .root.Values.global.kafka.strimziCluster "" (.kafka | default false) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}{{ if not $api }}-{{ .component }}{{ end }}
  labels:
    {{- include "slipway-lib.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  strategy:
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
      annotations:
        checksum/settings: {{ include "slipway-lib.settings" . | sha256sum }}
    spec:
      {{- include "slipway-lib.podBasics" . | nindent 6 }}
      terminationGracePeriodSeconds: 35
      containers:
        - name: {{ .component }}
          args: {{ .args | toJson }}
          {{- include "slipway-lib.containerBasics" (dict "root" .root "resources" .values.resources) | nindent 10 }}
          envFrom:
            - configMapRef:
                name: {{ $name }}
          ports:
            {{- if $api }}
            - name: http
              containerPort: 8000
            {{- end }}
            - name: internal
              containerPort: 9000
          startupProbe:
            httpGet: { path: /healthz/startup, port: internal }
            periodSeconds: 2
            timeoutSeconds: 3
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /healthz/live, port: internal }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: { path: /healthz/ready, port: internal }
            periodSeconds: 5
            timeoutSeconds: 3
          {{- if $api }}
          # While this sleeps, the endpoints are removed. Only then does the process stop listening.
          lifecycle:
            preStop:
              sleep:
                seconds: 5
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
{{- end }}
