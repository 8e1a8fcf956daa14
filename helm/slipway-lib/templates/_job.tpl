{{/*
A hook that does one thing and ends. What failed stays, to be looked at, until the next attempt.
Takes root, name, hooks, weight, args, env (YAML), resources; token and account where it talks to the API server.
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
spec:
  backoffLimit: 2
  activeDeadlineSeconds: 600
  template:
    metadata:
      labels:
        {{- include "slipway-lib.labels" $labels | nindent 8 }}
    spec:
      {{- include "slipway-lib.podBasics" . | nindent 6 }}
      {{- with .account }}
      serviceAccountName: {{ . }}
      {{- end }}
      restartPolicy: Never
      containers:
        - name: {{ .name }}
          args:
            {{- toYaml .args | nindent 12 }}
          {{- include "slipway-lib.containerBasics" . | nindent 10 }}
          env:
            - { name: ENVIRONMENT, value: {{ .root.Values.global.environment }} }
            - { name: STARTUP_WAIT, value: {{ .root.Values.global.startupWait | quote }} }
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
{{- end }}
