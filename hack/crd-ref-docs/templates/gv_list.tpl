{{- define "gvList" -}}
# API reference

Generated from the comments in `api/`; `make generate` writes it anew. `oc explain smr.spec` shows the same on a cluster.
{{ range . }}
{{- template "gvDetails" . }}
{{- end }}
{{- end -}}
