{{- define "type_members" -}}
{{- if eq .Name "metadata" -}}
The usual metadata of Kubernetes objects.
{{- else -}}
{{ markdownRenderFieldDoc .Doc }}
{{- end -}}
{{- end -}}
