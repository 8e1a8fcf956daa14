{{/* The services: the dependencies that have an alias. A JSON list. */}}
{{- define "slipway.services" -}}
{{- $names := list -}}
{{- range .Chart.Dependencies }}{{ with .Alias }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{ toJson $names }}
{{- end }}

{{/* The Secret with the passwords of one service. Takes root and service. */}}
{{- define "slipway.databaseSecret" -}}
{{- $values := index .root.Values .service -}}
{{ include "slipway-lib.databaseSecret" (dict "root" .root "service" .service "existing" (dig "database" "existingSecret" "" $values)) }}
{{- end }}

{{- define "slipway.adminSecret" -}}
{{ .Values.users.firstAdmin.existingSecret | default (printf "%s-first-admin" .Release.Name) }}
{{- end }}

{{- define "slipway.gatewayName" -}}
{{ include "slipway-lib.serviceName" (dict "root" . "service" "gateway") }}
{{- end }}

{{- define "slipway.gatewayUrl" -}}
http://{{ include "slipway.gatewayName" . }}:{{ dig "service" "port" 8000 .Values.gateway }}
{{- end }}
