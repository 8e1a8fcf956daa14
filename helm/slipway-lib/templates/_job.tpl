{{/*
A hook that does one thing and ends. What failed stays, to be looked at, until the next attempt.
Takes root, name, hooks, weight, args, env (YAML), resources.
*/}}
{{- define "slipway-lib.job" -}}
{{- $labels := dict "root" .root "component" .name -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "slipway-lib.fullname" .root }}-{{ .name }}
  labels:
    {{- include "slipway-lib.labels" $labels | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hooks }}
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    checkov.io/skip1: CKV_K8S_35=read once by a process that ends with its work
spec:
  backoffLimit: 2
  activeDeadlineSeconds: 600
  template:
    metadata:
      labels:
        {{- include "slipway-lib.labels" $labels | nindent 8 }}
        {{- with include "slipway-lib.podLabels" . }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- with include "slipway-lib.podAnnotations" . }}
      annotations:
        {{- . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "slipway-lib.podBasics" (dict "root" .root) | nindent 6 }}
      restartPolicy: Never
      containers:
        - name: {{ .name }}
          args:
            {{- toYaml .args | nindent 12 }}
          {{- include "slipway-lib.containerBasics" . | nindent 10 }}
          env:
            {{- include "slipway-lib.jobEnv" .root | nindent 12 }}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            {{- with include "slipway-lib.moreMounts" .root | trim }}
            {{- . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- with include "slipway-lib.moreVolumes" .root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
{{- end }}

{{/* What every job's container has in its environment. */}}
{{- define "slipway-lib.jobEnv" -}}
- { name: ENVIRONMENT, value: {{ .Values.global.environment }} }
- { name: STARTUP_WAIT, value: {{ .Values.global.startupWait | quote }} }
{{- with (include "slipway-lib.pods" (dict "root" .) | fromYaml).extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The database URL of a schema's owner, for a migration, which reads its settings once. The role's password is in its
environment only, which ends with it. Takes root, service and secret.
*/}}
{{- define "slipway-lib.ownerEnv" -}}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: owner-password
- name: DATABASE_OWNER_URL
  value: "postgresql://{{ .service }}_owner:$(DATABASE_PASSWORD)@{{ include "slipway-lib.databasePlace" .root }}"
{{- end }}
