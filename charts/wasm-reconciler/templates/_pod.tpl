{{/* The pod template of the modes that have pods. */}}

{{- define "wasm-reconciler.pod" -}}
metadata:
  labels: {{- toYaml (merge (include "wasm-reconciler.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels) | nindent 4 }}
  {{- with merge (deepCopy .Values.podAnnotations) .Values.commonAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "wasm-reconciler.serviceAccountName" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ include "wasm-reconciler.gracePeriod" . }}
  {{- with .Values.podSecurityContext }}
  securityContext: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $pulls := eq (include "wasm-reconciler.pull" .) "initContainer" }}
  {{- if include "wasm-reconciler.native" . }}
  initContainers: {{- include "wasm-reconciler.sidecar.containers" . | nindent 4 }}
  {{- else if or $pulls .Values.extraInitContainers }}
  initContainers:
    {{- with .Values.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if $pulls }}
    - {{- include "wasm-reconciler.pullContainer" . | nindent 6 }}
    {{- end }}
  {{- end }}
  containers:
    {{- if eq .Values.mode "sidecar" }}
    - {{- toYaml .Values.sidecar.container | nindent 6 }}
    {{- end }}
    {{- if not (include "wasm-reconciler.native" .) }}
    - {{- include "wasm-reconciler.container" . | nindent 6 }}
    {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes: {{- include "wasm-reconciler.sidecar.volumes" . | nindent 4 }}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "dnsPolicy" "dnsConfig" "hostAliases" }}
  {{- with index $.Values $key }}
  {{ $key }}: {{- if kindIs "string" . }} {{ . }}{{ else }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- end }}
  {{- end }}
{{- end }}
