{{/* The API of a service. Headless: the gateway's pooled connections would be pinned by a virtual address. Takes root. */}}
{{- define "slipway-lib.headless" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "slipway-lib.fullname" .root }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" .root "component" "api") | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "slipway-lib.selector" (dict "root" .root "component" "api") | nindent 4 }}
  ports:
    - name: http
      port: 8000
      targetPort: http
{{- end }}
