{{- define "dotgate.shortName" -}}
{{ .Values.nameOverride | default "dotgate" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "dotgate.name" -}}
{{- $name := include "dotgate.shortName" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "dotgate.selector" -}}
app.kubernetes.io/name: {{ include "dotgate.shortName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Of pods: nothing here changes with the chart alone, so that an upgrade of it restarts no pod. */ -}}
{{- define "dotgate.podLabels" -}}
{{ include "dotgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dotgate.labels" -}}
{{ include "dotgate.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "dotgate.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "dotgate.adminPort" -}}
{{ splitList ":" .Values.adminListen | last }}
{{- end }}

{{- define "dotgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "dotgate.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* An upstream in one line, as in [[route]]. */ -}}
{{- define "dotgate.upstream" -}}
{{ ternary "plain:" "" (default false .plain) }}{{ .address | default .name }}
{{- with .port }}@{{ . }}{{ end }}
{{- if and .address .name }}#{{ .name }}{{ end }}
{{- range .pins }};pin={{ . }}{{ end }}
{{- end }}

{{- /* The egress rule of the NetworkPolicy for an upstream; `port` is that of DNS over TLS where it has none. */ -}}
{{- define "dotgate.egress" -}}
{{- $upstream := .upstream }}
{{- $port := $upstream.port | default (ternary 53 .port (default false $upstream.plain)) }}
{{- if $upstream.address }}
- to:
    - ipBlock: {cidr: {{ include "dotgate.cidr" $upstream.address }}}
  ports:
{{- else }}
# {{ $upstream.name }}, wherever it is.
- ports:
{{- end }}
{{- if $upstream.plain }}
    - {port: {{ $port }}, protocol: UDP}
{{- end }}
    - {port: {{ $port }}, protocol: TCP}
{{- end }}

{{- define "dotgate.cidr" -}}
{{ printf "%s/%s" (trimAll "[]" .) (ternary "128" "32" (contains ":" .)) | quote }}
{{- end }}
