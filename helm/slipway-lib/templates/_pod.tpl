{{/* The common part of all our pods. It fulfils the pod security standard "restricted". */}}
{{- define "slipway-lib.podBasics" -}}
automountServiceAccountToken: {{ .token | default false }}
# Otherwise a Service named users would set USERS_PORT, which is the name of a setting.
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

{{/*
Secrets as files, one for each setting. The kubelet replaces a file when its Secret changes, and the process reads it again
for each connection. An environment variable or a subPath would never change after the pod has started.
Takes a list of setting, secret and key.
*/}}
{{- define "slipway-lib.secrets" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range . }}
      - secret:
          name: {{ .secret }}
          items: [{ key: {{ .key }}, path: {{ .setting }} }]
      {{- end }}
{{- end }}

{{/* The address of Postgres: the part of a URL after the role. */}}
{{- define "slipway-lib.databasePlace" -}}
{{- $database := .Values.global.database -}}
{{ $database.host }}:{{ $database.port }}/{{ $database.name }}{{ with $database.parameters }}?{{ . }}{{ end }}
{{- end }}

{{/* The database URL of the schema's owner, for a job, which reads its settings once. Takes root. */}}
{{- define "slipway-lib.ownerEnv" -}}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "slipway-lib.ownDatabaseSecret" .root }}
      key: owner-password
- name: DATABASE_OWNER_URL
  value: "postgresql://{{ include "slipway-lib.name" .root }}_owner:$(DATABASE_PASSWORD)@{{ include "slipway-lib.databasePlace" .root }}"
{{- end }}
