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

{{/*
The name of a service's objects: the release and the service. A release that is named exactly like the service has that name
once. A cut name could be another service's name, so a name that is too long fails. Takes root and service.
*/}}
{{- define "slipway-lib.serviceName" -}}
{{- $name := ternary .service (printf "%s-%s" .root.Release.Name .service) (eq .root.Release.Name .service) -}}
{{- if gt (len $name) 50 -}}
{{- fail (printf "the name %s is longer than 50 characters: choose a release name of at most %d" $name (sub 49 (len .service))) -}}
{{- end -}}
{{ $name }}
{{- end }}

{{- define "slipway-lib.fullname" -}}
{{ include "slipway-lib.serviceName" (dict "root" . "service" (include "slipway-lib.name" .)) }}
{{- end }}

{{/* Labels that never change, for selectors. Takes root and component. */}}
{{- define "slipway-lib.selector" -}}
app.kubernetes.io/name: {{ include "slipway-lib.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
All labels. Flux appends a digest to the chart's version (0.1.0+ab12cd34ef56), and a tag may have 128 characters; a label's value
has 63 at most, and no plus. Takes root and component.
*/}}
{{- define "slipway-lib.labels" -}}
{{ include "slipway-lib.selector" . }}
app.kubernetes.io/version: {{ include "slipway-lib.tag" .root | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "slipway-lib.tag" -}}
{{ .Values.image.tag | default .Values.global.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The reference of a package's image. A digest wins over the tag. Takes global, package, version and image. */}}
{{- define "slipway-lib.imageOf" -}}
{{- $image := .image | default dict -}}
{{- with .global.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository | default (printf "slipway/%s" .package) }}
{{- if $image.digest -}}
@{{ $image.digest }}
{{- else -}}
:{{ $image.tag | default .global.image.tag | default .version }}
{{- end -}}
{{- end }}

{{- define "slipway-lib.image" -}}
{{ include "slipway-lib.imageOf" (dict "global" .Values.global "package" (include "slipway-lib.name" .) "version" .Chart.AppVersion "image" .Values.image) }}
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

{{- define "slipway-lib.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "slipway-lib.fullname" .) }}
{{- end }}
