{{- /* The kinds first, then everything they are made of, by name. */ -}}
{{- define "gvDetails" }}
{{- $gv := . }}
## {{ $gv.GroupVersionString }}

{{ $gv.Doc }}
{{ range $gv.SortedKinds }}
{{- template "type" ($gv.TypeForKind .) }}
{{- end }}
{{- range $gv.SortedTypes }}
{{- if not (has .Name $gv.SortedKinds) }}
{{- template "type" . }}
{{- end }}
{{- end }}
{{- end -}}
