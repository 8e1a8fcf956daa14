{{- define "gateway.valkey" -}}
{{- $valkey := .Values.valkey -}}
{{- with $valkey.existingSecret }}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $valkey.key }}
{{- end }}
- name: VALKEY_URL
  value: valkey://{{ if $valkey.existingSecret }}:$(VALKEY_PASSWORD)@{{ end }}{{ $valkey.host }}:{{ $valkey.port }}/{{ $valkey.database }}
{{- end }}
