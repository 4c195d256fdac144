{{- define "dotgate.name" -}}
{{- if contains "dotgate" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-dotgate" (.Release.Name | trunc 42 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{- define "dotgate.selector" -}}
app.kubernetes.io/name: dotgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dotgate.labels" -}}
{{ include "dotgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "dotgate.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "dotgate.adminPort" -}}
{{ splitList ":" .Values.adminListen | last }}
{{- end }}
