{{/*
Network policies. One that selects a pod and names both directions denies all that it does not list, so each edge of the
system is a named helper below. Each edge gives a rule: ports, and the peers from the values. Without peers, a host whose name
has no dot is a Service of this namespace: its pods; any other host: any address.
*/}}
{{- define "slipway-lib.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels:
    {{- include "slipway-lib.labels" (dict "root" .root "component" "network") | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Takes direction (from or to), peers, host, ports, protocol. */}}
{{- define "slipway-lib.edge" -}}
{{- $peers := .peers | default list -}}
{{- if and (not $peers) .host (not (contains "." .host)) -}}
{{- $peers = list (dict "podSelector" dict) -}}
{{- end -}}
{{- $ports := list -}}
{{- range $port := .ports }}{{ $ports = append $ports (dict "port" (int $port) "protocol" ($.protocol | default "TCP")) }}{{ end -}}
{{- $rule := dict "ports" $ports -}}
{{- if $peers }}{{ $_ := set $rule .direction $peers }}{{ end -}}
- {{ toYaml $rule | nindent 2 | trim }}
{{- end }}

{{- define "slipway-lib.toDns" }}
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
  {{- with .Values.global.networkPolicy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "slipway-lib.toPostgres" }}
{{ include "slipway-lib.edge" (dict "direction" "to" "peers" .Values.global.networkPolicy.postgres "host" .Values.global.database.host "ports" (list .Values.global.database.port)) }}
{{- end }}

{{- define "slipway-lib.toKafka" }}
{{- $ports := list }}
{{- $host := "" }}
{{- range splitList "," .Values.global.kafka.bootstrapServers }}
{{- $ports = append $ports (last (splitList ":" .)) }}
{{- $host = first (splitList ":" .) }}
{{- end }}
{{ include "slipway-lib.edge" (dict "direction" "to" "peers" .Values.global.networkPolicy.kafka "host" $host "ports" (uniq $ports)) }}
{{- end }}

{{- define "slipway-lib.toTraces" }}
{{- with .Values.global.tracing.endpoint }}
{{- $url := urlParse . }}
{{- $port := ternary "443" "80" (eq $url.scheme "https") }}
{{- if contains ":" $url.host }}{{ $port = last (splitList ":" $url.host) }}{{ end }}
{{ include "slipway-lib.edge" (dict "direction" "to" "peers" $.Values.global.networkPolicy.traces "host" $url.hostname "ports" (list $port)) }}
{{- end }}
{{- end }}

{{- define "slipway-lib.fromMonitoring" }}
{{ include "slipway-lib.edge" (dict "direction" "from" "peers" .Values.global.networkPolicy.monitoringFrom "ports" (list 9000)) }}
{{- end }}

{{/* A webhook's receiver: the internet without private networks, in which it has no business. */}}
{{- define "slipway-lib.toInternet" }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        except: ["::1/128", "64:ff9b::/96", "fc00::/7", "fe80::/10"]
  ports: [{ port: 443, protocol: TCP }, { port: 1024, endPort: 65535, protocol: TCP }]
{{- end }}
