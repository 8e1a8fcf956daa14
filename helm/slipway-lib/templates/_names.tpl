{{/*
The name of the service, its image and its schema. Under an alias Helm gives the alias as the chart's name; the chart
`service` installed by itself takes the name from its values.
*/}}
{{- define "slipway-lib.name" -}}
{{- if eq .Chart.Name "service" -}}
{{ .Values.name | required "name the service, for example --set name=orders" }}
{{- else -}}
{{ .Chart.Name }}
{{- end -}}
{{- end }}

{{/* Release and service, once each. */}}
{{- define "slipway-lib.fullname" -}}
{{- $name := include "slipway-lib.name" . -}}
{{- if contains $name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change, for selectors. Takes root and component. */}}
{{- define "slipway-lib.selector" -}}
app.kubernetes.io/name: {{ include "slipway-lib.name" .root }}
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
{{ .Values.image.repository | default (printf "slipway/%s" (include "slipway-lib.name" .)) }}:{{ include "slipway-lib.tag" . }}
{{- end }}

{{/* The Secret with the key sets: the private one for users, the public one for everybody. */}}
{{- define "slipway-lib.keysSecret" -}}
{{ .Values.global.auth.existingSecret | default (printf "%s-keys" .Release.Name) }}
{{- end }}

{{/* The Secret with both passwords of a service. Takes root, service and existing. */}}
{{- define "slipway-lib.databaseSecret" -}}
{{ .existing | default (printf "%s-%s-database" .root.Release.Name .service) }}
{{- end }}

{{/* The same of this chart's service. */}}
{{- define "slipway-lib.ownDatabaseSecret" -}}
{{ include "slipway-lib.databaseSecret" (dict "root" . "service" (include "slipway-lib.name" .) "existing" .Values.database.existingSecret) }}
{{- end }}
