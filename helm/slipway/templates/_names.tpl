{{- define "slipway.services" -}}
users orders notifications
{{- end }}

{{/* The Secret with the passwords of one service. Takes root and service. */}}
{{- define "slipway.databaseSecret" -}}
{{- $values := index .root.Values .service -}}
{{ include "slipway-lib.databaseSecret" (dict "root" .root "service" .service "existing" (dig "database" "existingSecret" "" $values)) }}
{{- end }}

{{- define "slipway.adminSecret" -}}
{{ .Values.users.firstAdmin.existingSecret | default (printf "%s-first-admin" .Release.Name) }}
{{- end }}

{{- define "slipway.gatewayUrl" -}}
http://{{ .Release.Name }}-gateway:{{ dig "service" "port" 8000 .Values.gateway }}
{{- end }}
