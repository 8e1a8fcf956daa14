{{/*
All of a service with a schema: settings, both Deployments, the Service, the migration.
Takes root, own (more settings, a dict), env (more variables of the API, as YAML) and signing.
*/}}
{{- define "slipway-lib.backend" -}}
{{- $root := .root -}}
{{- $own := mergeOverwrite (include "slipway-lib.kafkaSettings" $root | fromYaml) (.own | default dict) -}}
{{- $database := include "slipway-lib.databaseEnv" (dict "root" $root "variable" "DATABASE_URL" "role" (printf "%s_runtime" $root.Chart.Name) "entry" "runtime-password") -}}
{{- $env := printf "%s\n%s" $database (include "slipway-lib.kafkaEnv" $root | trim) | trim -}}
{{- include "slipway-lib.configmap" (dict "root" $root "own" $own) }}
---
{{ include "slipway-lib.deployment" (dict
  "root" $root "component" "api" "values" $root.Values.api "own" $own "signing" .signing
  "kafka" true "env" (printf "%s\n%s" $env (.env | default "") | trim)
) }}
---
{{ include "slipway-lib.deployment" (dict
  "root" $root "component" "worker" "values" $root.Values.worker "own" $own "kafka" true "env" $env
) }}
---
{{ include "slipway-lib.headless" (dict "root" $root) }}
{{- if $root.Values.migrations.enabled }}
---
{{ include "slipway-lib.migration" (dict "root" $root) }}
{{- end }}
{{- end }}
