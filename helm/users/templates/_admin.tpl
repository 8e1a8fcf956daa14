{{- define "users.adminSecret" -}}
{{ .Values.firstAdmin.existingSecret | default (printf "%s-first-admin" .Release.Name) }}
{{- end }}

{{- define "users.adminPassword" -}}
- name: FIRST_ADMIN_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "users.adminSecret" . }}
      key: password
{{- end }}
