{{/* The settings of a service that are not secret. Takes root and own, a dict of its own settings. */}}
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
  "SECRETS_DIRECTORY" "/var/lib/slipway/secrets"
  "OTEL_TRACES_SAMPLER_ARG" $global.tracing.sampling
-}}
{{- with $global.tracing.endpoint }}{{ $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" . }}{{ end -}}
{{- if and $global.privateCa.everywhere (or $global.privateCa.secret $global.privateCa.configMap) }}
{{- $_ := set $settings "SSL_CERT_FILE" "/var/lib/slipway/ca/ca.crt" -}}
{{- end -}}
{{- $settings = mergeOverwrite $settings .own .root.Values.settings -}}
{{- range $name, $value := $settings }}
{{- /* A number in values is a float: a whole one must not become 1e+06. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
{{ $name }}: {{ toString $value | quote }}
{{- end }}
{{- end }}

{{- define "slipway-lib.kafkaSettings" -}}
{{- $kafka := .Values.global.kafka -}}
{{- $settings := dict "KAFKA_BOOTSTRAP_SERVERS" $kafka.bootstrapServers "KAFKA_TOPIC_PREFIX" $kafka.topicPrefix -}}
{{- if $kafka.strimziCluster -}}
{{- $settings = mergeOverwrite $settings (dict
  "KAFKA_SECURITY_PROTOCOL" "SASL_SSL"
  "KAFKA_SASL_MECHANISM" "SCRAM-SHA-512"
  "KAFKA_SASL_USERNAME" (include "slipway-lib.ownKafkaUser" .)
  "KAFKA_CA_FILE" "/var/lib/slipway/kafka/ca.crt"
) -}}
{{- else if ne $kafka.security.protocol "PLAINTEXT" -}}
{{- $_ := set $settings "KAFKA_SECURITY_PROTOCOL" $kafka.security.protocol -}}
{{- if hasPrefix "SASL" $kafka.security.protocol -}}
{{- $_ := set $settings "KAFKA_SASL_MECHANISM" $kafka.security.mechanism -}}
{{- $_ := set $settings "KAFKA_SASL_USERNAME" $kafka.security.username -}}
{{- end -}}
{{- if and (hasSuffix "SSL" $kafka.security.protocol) (or .Values.global.privateCa.secret .Values.global.privateCa.configMap) -}}
{{- $_ := set $settings "KAFKA_CA_FILE" "/var/lib/slipway/ca/ca.crt" -}}
{{- end -}}
{{- end -}}
{{ toYaml $settings }}
{{- end }}

{{/* A service's user of Kafka, which is also the name of the Secret with its password. Takes root, service and existing. */}}
{{- define "slipway-lib.kafkaUser" -}}
{{ .existing | default (printf "%s-%s-kafka" .root.Release.Name .service) }}
{{- end }}

{{/* The same of this chart's service. */}}
{{- define "slipway-lib.ownKafkaUser" -}}
{{ include "slipway-lib.kafkaUser" (dict "root" . "service" (include "slipway-lib.name" .) "existing" ((.Values.kafka).existingUser)) }}
{{- end }}

{{/* The password of Kafka, if it needs one, as a list for slipway-lib.secrets. */}}
{{- define "slipway-lib.kafkaSecrets" -}}
{{- $kafka := .Values.global.kafka -}}
{{- if $kafka.strimziCluster }}
- setting: kafka_sasl_password
  secret: {{ include "slipway-lib.ownKafkaUser" . }}
  key: password
{{- else if hasPrefix "SASL" $kafka.security.protocol }}
- setting: kafka_sasl_password
  secret: {{ $kafka.security.existingSecret }}
  key: {{ $kafka.security.key }}
{{- else -}}
[]
{{- end }}
{{- end }}

{{- define "slipway-lib.configmap" -}}
{{- if eq .root.Values.global.environment "production" -}}
{{- range $name, $value := dict "SLIPWAY_LIMITS" "off" "TRUST_CLIENT_TRACES" "true" -}}
{{- if eq (get $.root.Values.settings $name | toString) $value -}}
{{- fail (printf "settings.%s of %s is %s, which production rejects: no pod would start. Remove it, or set global.environment=development." $name (include "slipway-lib.name" $.root) $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "slipway-lib.fullname" .root }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" .root "component" "settings") | nindent 4 }}
data:
  {{- include "slipway-lib.settings" . | trim | nindent 2 }}
{{- end }}
