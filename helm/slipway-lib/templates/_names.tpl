{{/* The name of the service, which is the name of its chart, its image and its schema. */}}
{{- define "slipway-lib.name" -}}
{{ .Chart.Name }}
{{- end }}

{{/* Release and chart, once each. */}}
{{- define "slipway-lib.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change, for selectors. Takes root and component. */}}
{{- define "slipway-lib.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All labels. Takes root and component. */}}
{{- define "slipway-lib.labels" -}}
{{ include "slipway-lib.selector" . }}
app.kubernetes.io/version: {{ include "slipway-lib.tag" .root | quote }}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "slipway-lib.tag" -}}
{{ .Values.image.tag | default .Values.global.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "slipway-lib.image" -}}
{{- with .Values.global.image.registry }}{{ . }}/{{ end -}}
{{ .Values.image.repository | default (printf "slipway/%s" .Chart.Name) }}:{{ include "slipway-lib.tag" . }}
{{- end }}

{{/* The Secret with the key sets: the private one for users, the public one for everybody. */}}
{{- define "slipway-lib.keysSecret" -}}
{{ .Values.global.auth.existingSecret | default (printf "%s-keys" .Release.Name) }}
{{- end }}

{{/* The Secret with both passwords of a service. Takes root, service and existing. */}}
{{- define "slipway-lib.databaseSecret" -}}
{{ .existing | default (printf "%s-%s-database" .root.Release.Name .service) }}
{{- end }}
