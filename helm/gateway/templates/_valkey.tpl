{{/* The password of Valkey, if it has one, as a list for slipway-lib.secrets. */}}
{{- define "gateway.valkeySecrets" -}}
{{- if .Values.valkey.existingSecret }}
- setting: valkey_password
  secret: {{ .Values.valkey.existingSecret }}
  key: {{ .Values.valkey.key }}
{{- else -}}
[]
{{- end }}
{{- end }}
