{{- /* The file of dotgate. Strings, numbers and arrays of JSON are also those of TOML. */ -}}
{{- define "dotgate.configuration" -}}
{{- $port := dict "dns" (dict "port" 853) }}
{{- range $section, $keys := mergeOverwrite $port (deepCopy .Values.settings) }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range .Values.upstreams }}
[[upstream]]
{{- if .address }}
address = {{ toJson .address }}
{{- with .name }}
auth_name = {{ toJson . }}
{{- end }}
{{- else }}
name = {{ toJson .name }}
{{- end }}
{{- with .port }}
port = {{ toJson . }}
{{- end }}
{{- with .pins }}
pins = {{ toJson . }}
{{- end }}
{{- end }}
{{- range .Values.routes }}
[[route]]
suffixes = {{ toJson .suffixes }}
upstreams = [{{ range $index, $upstream := .upstreams }}{{ if $index }}, {{ end }}{{ include "dotgate.upstream" $upstream | toJson }}{{ end }}]
{{- end }}
{{- end }}
