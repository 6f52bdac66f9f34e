{{- define "type" }}
{{- $type := . }}
{{- if markdownShouldRenderType $type }}
### {{ $type.Name }}

{{ $type.Doc }}
{{ if $type.References }}
In:
{{- range $i, $ref := $type.SortedReferences }}{{ if $i }},{{ end }} {{ markdownRenderTypeLink $ref }}
{{- end }}
{{ end }}
{{- if $type.EnumValues }}
One of:
{{- range $i, $value := $type.EnumValues }}{{ if $i }},{{ end }} `{{ $value.Name }}`
{{- end }}
{{ end }}
{{- if $type.Members }}
| field | meaning | bounds |
| --- | --- | --- |
{{ if $type.GVK -}}
| `apiVersion` _string_ | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | |
| `kind` _string_ | `{{ $type.GVK.Kind }}` | |
{{ end -}}
{{ range $type.Members -}}
| `{{ .Name }}` _{{ markdownRenderType .Type }}_ | {{ template "type_members" . }} | {{ template "bounds" . }} |
{{ end -}}
{{ end }}
{{- end }}
{{- end -}}

{{- /* Patterns are long and of use to machines only; they are in the CRD. Optional is what is not required. */ -}}
{{- define "bounds" -}}
{{- range .Validation -}}
{{- if hasPrefix "Required" . }}required<br />
{{- else if hasPrefix "Optional" . }}
{{- else if contains "Pattern" . }}
{{- else }}{{ markdownRenderFieldDoc . }}<br />
{{- end -}}
{{- end -}}
{{- end -}}
