{{/* What every pod of ours has: all that the pod security standard "restricted" asks for, and more. */}}
{{- define "slipway-lib.podBasics" -}}
automountServiceAccountToken: {{ .token | default false }}
# A Service named users would else set USERS_PORT, which is a setting's name.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.global.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "slipway-lib.containerBasics" -}}
image: {{ include "slipway-lib.image" .root }}
imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{/* Where Postgres is, for a role whose password is in the variable PASSWORD. Takes root and role. */}}
{{- define "slipway-lib.databaseUrl" -}}
{{- $database := .root.Values.global.database -}}
postgresql://{{ .role }}:$(DATABASE_PASSWORD)@{{ $database.host }}:{{ $database.port }}/{{ $database.name }}{{ with $database.parameters }}?{{ . }}{{ end }}
{{- end }}

{{/* The database of one role. Takes root, variable, role and entry. */}}
{{- define "slipway-lib.databaseEnv" -}}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "slipway-lib.databaseSecret" (dict "root" .root "service" .root.Chart.Name "existing" .root.Values.database.existingSecret) }}
      key: {{ .entry }}
- name: {{ .variable }}
  value: {{ include "slipway-lib.databaseUrl" . | quote }}
{{- end }}
