{{/*
For other charts. One that depends on this chart, with `mode: library`, writes in the spec of its pods

  {{- include "wasm-reconciler.sidecar" . | nindent 6 }}

and has the sidecar: the keys `initContainers` and `volumes`. A chart that has those keys itself adds the entries of
`wasm-reconciler.sidecar.containers` and `wasm-reconciler.sidecar.volumes` to them. The context is the chart's own, or
`(index .Subcharts "ALIAS")` where the dependency has an alias.
*/}}

{{- define "wasm-reconciler.sidecar" -}}
initContainers: {{- include "wasm-reconciler.sidecar.containers" . | nindent 2 }}
volumes: {{- include "wasm-reconciler.sidecar.volumes" . | nindent 2 }}
{{- end }}

{{- define "wasm-reconciler.sidecar.containers" -}}
{{- $own := include "wasm-reconciler.context" . | eq "own" | ternary . (index (default dict .Subcharts) "wasm-reconciler") }}
{{- with $own.Values.extraInitContainers }}
{{- toYaml . }}
{{ end }}
{{- if eq (include "wasm-reconciler.pull" $own) "initContainer" -}}
- {{- include "wasm-reconciler.pullContainer" $own | nindent 2 }}
{{ end -}}
- {{- include "wasm-reconciler.container" $own | nindent 2 }}
{{- end }}

{{- define "wasm-reconciler.sidecar.volumes" -}}
{{- $own := include "wasm-reconciler.context" . | eq "own" | ternary . (index (default dict .Subcharts) "wasm-reconciler") }}
{{- include "wasm-reconciler.volumes" $own }}
{{- with $own.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* "parent" where the context is of a chart that depends on this one, "own" where it is this chart's. */}}
{{- define "wasm-reconciler.context" -}}
{{- ternary "parent" "own" (hasKey (default dict .Subcharts) "wasm-reconciler") }}
{{- end }}
