{{/* Names, labels, and what is derived from several values. */}}

{{- define "wasm-reconciler.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "wasm-reconciler.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "wasm-reconciler.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "wasm-reconciler.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the pods: must never change during the life of a release. */}}
{{- define "wasm-reconciler.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wasm-reconciler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wasm-reconciler.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "wasm-reconciler" -}}
{{- toYaml (merge (include "wasm-reconciler.selectorLabels" . | fromYaml) $own (deepCopy .Values.commonLabels)) }}
{{- end }}

{{/* The metadata of an object: (dict "root" $ "suffix" "-specs" "annotations" ...). */}}
{{- define "wasm-reconciler.metadata" -}}
name: {{ include "wasm-reconciler.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "wasm-reconciler.labels" .root | nindent 2 }}
{{- with merge (deepCopy (default dict .annotations)) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "wasm-reconciler.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "wasm-reconciler.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "wasm-reconciler.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* "true" where the daemon is a part of somebody's pod, and listens on loopback. */}}
{{- define "wasm-reconciler.beside" -}}
{{- if has .Values.mode (list "sidecar" "library") }}true{{ end }}
{{- end }}

{{- define "wasm-reconciler.native" -}}
{{- if and (include "wasm-reconciler.beside" .) .Values.sidecar.native }}true{{ end }}
{{- end }}

{{/* "true" where the data plane listens on all of the pod's addresses. */}}
{{- define "wasm-reconciler.listens" -}}
{{- if kindIs "bool" .Values.listen.expose }}{{ if .Values.listen.expose }}true{{ end }}
{{- else if not (include "wasm-reconciler.beside" .) }}true{{ end }}
{{- end }}

{{/* Seconds from the removal of a pod to its kill: the application's, the pause, the drain, and time to close. */}}
{{- define "wasm-reconciler.gracePeriod" -}}
{{- $application := ternary .Values.sidecar.terminationGracePeriodSeconds 0 (eq .Values.mode "sidecar") | int }}
{{- $pause := ternary 0 .Values.preStopSeconds (eq (include "wasm-reconciler.native" .) "true") | int }}
{{- add $application $pause (int .Values.drainTimeout) 5 }}
{{- end }}

{{- define "wasm-reconciler.specsName" -}}
{{- default (printf "%s-specs" (include "wasm-reconciler.fullname" .)) .Values.specs.existingConfigMap }}
{{- end }}

{{- define "wasm-reconciler.hasStores" -}}
{{- if or .Values.stores .Values.existingStoresSecret }}true{{ end }}
{{- end }}

{{- define "wasm-reconciler.storesName" -}}
{{- default (printf "%s-stores" (include "wasm-reconciler.fullname" .)) .Values.existingStoresSecret }}
{{- end }}

{{- define "wasm-reconciler.hasTokens" -}}
{{- if or .Values.admin.tokens .Values.admin.existingTokensSecret }}true{{ end }}
{{- end }}

{{- define "wasm-reconciler.tokensName" -}}
{{- default (printf "%s-tokens" (include "wasm-reconciler.fullname" .)) .Values.admin.existingTokensSecret }}
{{- end }}

{{- define "wasm-reconciler.modulesName" -}}
{{- default (printf "%s-modules" (include "wasm-reconciler.fullname" .)) .Values.modules.configMap.name }}
{{- end }}

{{/* How an OCI artifact gets into the pod: imageVolume, initContainer, or nothing where none is asked for. */}}
{{- define "wasm-reconciler.pull" -}}
{{- if eq .Values.modules.from "oci" }}
{{- $version := .Capabilities.KubeVersion.Version }}
{{- $method := .Values.modules.oci.method }}
{{- if eq $method "auto" }}
{{- $method = ternary "imageVolume" "initContainer" (semverCompare ">=1.35.0-0" $version) }}
{{- end }}
{{- if and (eq $method "imageVolume") (semverCompare "<1.33.0-0" $version) }}
{{- fail (printf "modules.oci.method: an image volume needs Kubernetes 1.33 or later, this is %s; use initContainer" $version) }}
{{- end }}
{{- $method }}
{{- end }}
{{- end }}

{{- define "wasm-reconciler.kubeNamespace" -}}
{{- default .Release.Namespace .Values.kube.namespace }}
{{- end }}
