{{/* The settings of a service that are no secret. Takes root and own, a dict of what only it has. */}}
{{- define "slipway-lib.settings" -}}
{{- $global := .root.Values.global -}}
{{- $settings := dict
  "ENVIRONMENT" $global.environment
  "LOG_LEVEL" $global.logLevel
  "PORT" "8000"
  "INTERNAL_PORT" "9000"
  "SHUTDOWN_TIMEOUT" "20"
  "AUTH_ISSUER" $global.auth.issuer
  "AUTH_AUDIENCE" $global.auth.audience
  "AUTH_JWKS_FILE" "/var/lib/slipway/public/public.jwks.json"
  "OTEL_TRACES_SAMPLER_ARG" $global.tracing.sampling
-}}
{{- with $global.tracing.endpoint }}{{ $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end -}}
{{- $settings = mergeOverwrite $settings .own .root.Values.settings -}}
{{- range $name, $value := $settings }}
{{- /* A number in values is a float: a whole one must not become 1e+06. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
{{ $name }}: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{- define "slipway-lib.kafkaSettings" -}}
{{- $kafka := .Values.global.kafka -}}
{{ dict "KAFKA_BOOTSTRAP_SERVERS" $kafka.bootstrapServers "KAFKA_TOPIC_PREFIX" $kafka.topicPrefix | toYaml }}
{{- end }}

{{- define "slipway-lib.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "slipway-lib.fullname" .root }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" .root "component" "settings") | nindent 4 }}
data:
  {{- include "slipway-lib.settings" . | trim | nindent 2 }}
{{- end }}
