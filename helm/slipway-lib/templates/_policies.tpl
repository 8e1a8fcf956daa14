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
{{- if and (not $peers) (regexMatch "^[A-Za-z0-9-]+$" (.host | default "")) -}}
{{- $peers = list (dict "podSelector" dict) -}}
{{- end -}}
{{- $ports := list -}}
{{- range $port := .ports }}{{ $ports = append $ports (dict "port" (int $port) "protocol" ($.protocol | default "TCP")) }}{{ end -}}
{{- $rule := dict "ports" $ports -}}
{{- if $peers }}{{ $_ := set $rule .direction $peers }}{{ end -}}
- {{ toYaml $rule | nindent 2 | trim }}
{{- end }}

{{- define "slipway-lib.toDns" }}
- ports:
    {{- range .Values.global.networkPolicy.dnsPorts }}
    - { port: {{ int . }}, protocol: UDP }
    - { port: {{ int . }}, protocol: TCP }
    {{- end }}
  {{- with .Values.global.networkPolicy.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The edges to servers. Takes hosts (host:port, separated by commas), port where a host has none, and peers. */}}
{{- define "slipway-lib.toHosts" -}}
{{- $edges := list -}}
{{- range $place := splitList "," .hosts -}}
{{- $port := regexFind ":[0-9]+$" $place | trimPrefix ":" | default (toString $.port) -}}
{{- $host := regexReplaceAll ":[0-9]+$" $place "" -}}
{{- $edges = append $edges (include "slipway-lib.edge" (dict "direction" "to" "peers" $.peers "host" $host "ports" (list $port))) -}}
{{- end -}}
{{ $edges | uniq | join "\n" }}
{{- end }}

{{/* The edges to the hosts of a URL. Takes url, peers, and port where neither the URL nor its scheme (http, https) has one. */}}
{{- define "slipway-lib.toUrl" -}}
{{- $hosts := regexReplaceAll "^[a-z]+://([^@/]*@)?([^/?#]+).*$" .url "${2}" -}}
{{- $port := .port | default (ternary 443 80 (hasPrefix "https:" .url)) -}}
{{ include "slipway-lib.toHosts" (dict "hosts" $hosts "port" $port "peers" .peers) }}
{{- end }}

{{/* The edges to all servers that settings name, each once. Takes root and settings. */}}
{{- define "slipway-lib.toServers" -}}
{{- $policy := .root.Values.global.networkPolicy -}}
{{- $settings := .settings -}}
{{- $edges := list -}}
{{- range $name := list "DATABASE_URL" "DATABASE_DIRECT_URL" -}}
{{- with get $settings $name }}{{ $edges = append $edges (include "slipway-lib.toUrl" (dict "url" . "port" 5432 "peers" $policy.postgres)) }}{{ end -}}
{{- end -}}
{{- with $settings.KAFKA_BOOTSTRAP_SERVERS }}{{ $edges = append $edges (include "slipway-lib.toHosts" (dict "hosts" . "peers" $policy.kafka)) }}{{ end -}}
{{- with $settings.VALKEY_URL }}{{ $edges = append $edges (include "slipway-lib.toUrl" (dict "url" . "port" 6379 "peers" $policy.valkey)) }}{{ end -}}
{{- range $name := list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" -}}
{{- with get $settings $name }}{{ $edges = append $edges (include "slipway-lib.toUrl" (dict "url" . "peers" $policy.traces)) }}{{ end -}}
{{- end -}}
{{- with $settings.SMTP_SERVER }}{{ $edges = append $edges (include "slipway-lib.toHosts" (dict "hosts" . "peers" $policy.mail)) }}{{ end -}}
{{ $edges | uniq | join "\n" }}
{{- end }}

{{- define "slipway-lib.fromMonitoring" }}
{{ include "slipway-lib.edge" (dict "direction" "from" "peers" .Values.global.networkPolicy.monitoringFrom "ports" (list 9000)) }}
{{- end }}

{{/*
A webhook's receiver: the internet without private networks, in which it has no business, unless the settings allow one.
Takes settings.
*/}}
{{- define "slipway-lib.toInternet" }}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: ::/0
        # Of 64:ff9b::/96, by which a pod without IPv4 reaches IPv4 (RFC 6052), the private networks above.
        except:
          - "::1/128"
          - "fc00::/7"
          - "fe80::/10"
          - "64:ff9b::/104"
          - "64:ff9b::a00:0/104"
          - "64:ff9b::6440:0/106"
          - "64:ff9b::7f00:0/104"
          - "64:ff9b::a9fe:0/112"
          - "64:ff9b::ac10:0/108"
          - "64:ff9b::c0a8:0/112"
    {{- range splitList "," (.settings.WEBHOOK_ALLOWED_NETWORKS | default "") }}
    {{- with trim . }}
    - ipBlock:
        cidr: {{ contains "/" . | ternary . (printf "%s/%d" . (contains ":" . | ternary 128 32)) | quote }}
    {{- end }}
    {{- end }}
  ports: [{ port: 443, protocol: TCP }, { port: 1024, endPort: 65535, protocol: TCP }]
{{- end }}
