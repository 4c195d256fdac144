{{- /* What a schema cannot say, each with a message that says what to do. */ -}}
{{- define "dotgate.checks" -}}
{{- range $index, $upstream := .Values.upstreams }}
{{- include "dotgate.checkUpstream" (dict "where" (printf "upstreams[%d]" $index) "upstream" $upstream "settings" $.Values.settings) }}
{{- end }}
{{- range $number, $route := .Values.routes }}
{{- range $index, $upstream := $route.upstreams }}
{{- $where := printf "routes[%d].upstreams[%d]" $number $index }}
{{- include "dotgate.checkUpstream" (dict "where" $where "upstream" $upstream "settings" $.Values.settings) }}
{{- end }}
{{- end }}
{{- $cache := dig "cache" "size" "64MiB" .Values.settings }}
{{- $needed := add (include "dotgate.bytes" $cache | int64) 67108864 }}
{{- range $kind := list "requests" "limits" }}
{{- $memory := dig $kind "memory" "" $.Values.resources }}
{{- if $memory }}
{{- if lt (include "dotgate.bytes" $memory | int64) $needed }}
{{- fail (printf "resources.%s.memory: %v is too small for settings.cache.size %v. Set it to at least %dMi (the cache and 64Mi)" $kind $memory $cache (div (add $needed 1048575) 1048576)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.hostNetwork .Values.hostPort }}
{{- fail "hostNetwork and hostPort: set only one of them" }}
{{- end }}
{{- if and .Values.nodeLocal.addresses (not (and .Values.hostNetwork (eq .Values.kind "DaemonSet"))) }}
{{- fail "nodeLocal.addresses: set kind to DaemonSet and hostNetwork to true" }}
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.monitoring) }}
{{- fail "networkPolicy.monitoring: an empty list would let everyone read the admin endpoint. List who may, such as [{namespaceSelector: {}}]" }}
{{- end }}
{{- end }}

{{- /* A size of dotgate (64MiB) or a quantity of Kubernetes (64Mi), in bytes. */ -}}
{{- define "dotgate.bytes" -}}
{{- $text := toString . | trimSuffix "b" | trimSuffix "B" }}
{{- $units := dict "ki" 1024 "mi" 1048576 "gi" 1073741824 "ti" 1099511627776 "k" 1000 "m" 1000000 "g" 1000000000 "t" 1000000000000 }}
{{- $number := regexFind "^[0-9.]+" $text }}
{{- $unit := trimPrefix $number $text | lower }}
{{- if kindIs "string" . }}{{ mulf (float64 $number) (get $units $unit | default 1) | int64 }}{{ else }}{{ int64 . }}{{ end }}
{{- end }}

{{- define "dotgate.checkUpstream" -}}
{{- $where := .where }}
{{- $upstream := .upstream }}
{{- if $upstream.address }}
{{- if not (regexMatch "^([0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$" $upstream.address) }}
{{- fail (printf "%s.address: %s is not an IP address. Set address to the IP address and name to the name in its certificate" $where $upstream.address) }}
{{- end }}
{{- else if $upstream.plain }}
{{- fail (printf "%s: set address to the IP address of the plain upstream" $where) }}
{{- else if not $upstream.name }}
{{- fail (printf "%s: set address, or name together with settings.bootstrap.addresses" $where) }}
{{- else if not (dig "bootstrap" "addresses" "" .settings) }}
{{- fail (printf "%s: the upstream %s has no address. Set address, or settings.bootstrap.addresses to the resolvers that find it" $where $upstream.name) }}
{{- end }}
{{- if and $upstream.plain (or $upstream.name $upstream.pins) }}
{{- fail (printf "%s: a plain upstream has no certificate. Remove name and pins, or plain" $where) }}
{{- end }}
{{- end }}
