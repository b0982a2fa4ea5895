{{/* The daemon's container and the volumes it needs: the same in every mode. */}}

{{- define "wasm-reconciler.container" -}}
name: wasm-reconciler
image: {{ include "wasm-reconciler.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if include "wasm-reconciler.native" . }}
restartPolicy: Always
{{- end }}
args: {{- include "wasm-reconciler.args" . | nindent 2 }}
env:
  - name: HOME
    value: /tmp
  {{- if .Values.kube.enabled }}
  - name: WASM_RECONCILER_NODE
    valueFrom: {fieldRef: {fieldPath: {{ ternary "spec.nodeName" "metadata.name" (eq .Values.mode "daemonset") }}}}
  - name: WASM_RECONCILER_WORKLOAD
    value: {{ include "wasm-reconciler.fullname" . }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or (include "wasm-reconciler.listens" .) .Values.admin.expose }}
ports:
  {{- if include "wasm-reconciler.listens" . }}
  - name: data
    containerPort: {{ .Values.listen.port }}
    {{- if and (eq .Values.mode "daemonset") .Values.daemonset.hostPort }}
    hostPort: {{ .Values.listen.port }}
    {{- end }}
  {{- end }}
  {{- if .Values.admin.expose }}
  - name: admin
    containerPort: {{ .Values.admin.port }}
  {{- end }}
{{- end }}
startupProbe: {{- include "wasm-reconciler.probe" (list . "/readyz" .Values.probes.startup) | nindent 2 }}
livenessProbe: {{- include "wasm-reconciler.probe" (list . "/livez" .Values.probes.liveness) | nindent 2 }}
readinessProbe: {{- include "wasm-reconciler.probe" (list . "/readyz" .Values.probes.readiness) | nindent 2 }}
{{- if and .Values.preStopSeconds (not (include "wasm-reconciler.native" .)) }}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
    sleep: {seconds: {{ .Values.preStopSeconds }}}
    {{- else }}
    exec: {command: [sleep, {{ .Values.preStopSeconds | quote }}]}
    {{- end }}
{{- end }}
{{- with .Values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: wasm-reconciler-specs, mountPath: /specs, readOnly: true}
  - {name: wasm-reconciler-state, mountPath: /state}
  - {name: wasm-reconciler-tmp, mountPath: /tmp}
  {{- if .Values.layottoConfig }}
  - {name: wasm-reconciler-config, mountPath: /config, readOnly: true}
  {{- end }}
  {{- if include "wasm-reconciler.hasStores" . }}
  - {name: wasm-reconciler-stores, mountPath: /stores, readOnly: true}
  {{- end }}
  {{- if include "wasm-reconciler.hasTokens" . }}
  - {name: wasm-reconciler-tokens, mountPath: /tokens, readOnly: true}
  {{- end }}
  {{- if .Values.admin.tlsSecret }}
  - {name: wasm-reconciler-admin-tls, mountPath: /admin-tls, readOnly: true}
  {{- end }}
  {{- if .Values.admin.clientCASecret }}
  - {name: wasm-reconciler-admin-client-ca, mountPath: /admin-client-ca, readOnly: true}
  {{- end }}
  {{- if ne .Values.modules.from "none" }}
  - name: wasm-reconciler-modules
    mountPath: /modules
    readOnly: true
    {{- with and (eq .Values.modules.from "persistentVolumeClaim") .Values.modules.persistentVolumeClaim.subPath }}
    subPath: {{ . }}
    {{- end }}
  {{- end }}
  {{- if .Values.modules.registrySecret }}
  - {name: wasm-reconciler-registry, mountPath: /registry, readOnly: true}
  {{- end }}
  {{- if and .Values.kube.enabled (eq .Values.kube.server "in-cluster") }}
  - {name: wasm-reconciler-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  {{- end }}
  {{- if and .Values.kube.enabled .Values.kube.secret }}
  - {name: wasm-reconciler-kube, mountPath: /kube, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "wasm-reconciler.args" -}}
- serve
- --specs=/specs
- --module-root=/modules
- --state=/state
- --listen={{ ternary "0.0.0.0" "127.0.0.1" (eq (include "wasm-reconciler.listens" .) "true") }}:{{ .Values.listen.port }}
- --admin={{ ternary "0.0.0.0" "127.0.0.1" .Values.admin.expose }}:{{ .Values.admin.port }}
- --drain-timeout={{ .Values.drainTimeout }}s
- --namespace={{ include "wasm-reconciler.kubeNamespace" . }}
- --log-level={{ .Values.log.level }}
- --log-format={{ .Values.log.format }}
{{- if .Values.layottoConfig }}
- --config=/config/config.json
{{- end }}
{{- if include "wasm-reconciler.hasStores" . }}
- --stores=/stores/stores.yaml
{{- end }}
{{- if include "wasm-reconciler.hasTokens" . }}
- --tokens=/tokens/tokens.yaml
{{- end }}
{{- if .Values.admin.tlsSecret }}
- --admin-tls-cert=/admin-tls/tls.crt
- --admin-tls-key=/admin-tls/tls.key
{{- if .Values.admin.clientCASecret }}
- --admin-client-ca=/admin-client-ca/ca.crt
{{- end }}
{{- else if .Values.admin.expose }}
- --admin-insecure
{{- end }}
{{- if .Values.admin.expose }}
{{- $service := include "wasm-reconciler.fullname" . }}
{{- range list "" (printf ".%s" .Release.Namespace) (printf ".%s.svc" .Release.Namespace) }}
- --admin-host={{ $service }}{{ . }}
{{- end }}
{{- end }}
{{- if .Values.admin.metricsOpen }}
- --metrics-open
{{- end }}
{{- range .Values.modules.allowedHosts }}
- --module-hosts={{ . }}
{{- end }}
{{- if .Values.modules.registrySecret }}
- --registry-auth=/registry/.dockerconfigjson
{{- end }}
{{- if .Values.modules.allowImageTags }}
- --allow-image-tags
{{- end }}
{{- if .Values.kube.enabled }}
- --kube={{ .Values.kube.server }}
{{- with .Values.kube.selector }}
- {{ printf "--kube-selector=%s" . | quote }}
{{- end }}
{{- if .Values.kube.secret }}
- --kube-token=/kube/token
{{- if hasPrefix "https:" .Values.kube.server }}
- --kube-ca=/kube/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* A probe: over the pod's address where the admin port is open there, otherwise from inside. */}}
{{- define "wasm-reconciler.probe" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.admin.expose -}}
httpGet: {path: {{ index . 1 }}, port: {{ $root.Values.admin.port }}, scheme: {{ ternary "HTTPS" "HTTP" (not (empty $root.Values.admin.tlsSecret)) }}}
{{- else -}}
exec: {command: [probe, "http{{ if $root.Values.admin.tlsSecret }}s{{ end }}://127.0.0.1:{{ $root.Values.admin.port }}{{ index . 1 }}"]}
{{- end }}
{{ toYaml (index . 2) }}
{{- end }}

{{/* Pulls the modules' artifact, where no image volume does. */}}
{{- define "wasm-reconciler.pullContainer" -}}
name: wasm-reconciler-pull
image: {{ .Values.modules.oci.initImage }}
imagePullPolicy: {{ .Values.modules.oci.pullPolicy }}
args:
  - pull
  - {{ .Values.modules.oci.reference | quote }}
  - --output=/modules
  {{- if .Values.modules.oci.plainHttp }}
  - --plain-http
  {{- end }}
  {{- if .Values.modules.registrySecret }}
  - --registry-config=/registry/.dockerconfigjson
  {{- end }}
{{- with .Values.resources }}
resources: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: wasm-reconciler-modules, mountPath: /modules}
  - {name: wasm-reconciler-tmp, mountPath: /tmp}
  {{- if .Values.modules.registrySecret }}
  - {name: wasm-reconciler-registry, mountPath: /registry, readOnly: true}
  {{- end }}
{{- end }}

{{- define "wasm-reconciler.volumes" -}}
- name: wasm-reconciler-specs
  configMap: {name: {{ include "wasm-reconciler.specsName" . }}, optional: {{ not (empty .Values.specs.existingConfigMap) }}}
- name: wasm-reconciler-state
  {{- toYaml .Values.volumes.state | nindent 2 }}
- name: wasm-reconciler-tmp
  {{- toYaml .Values.volumes.tmp | nindent 2 }}
{{- if .Values.layottoConfig }}
- name: wasm-reconciler-config
  configMap: {name: {{ include "wasm-reconciler.fullname" . }}-config}
{{- end }}
{{- if include "wasm-reconciler.hasStores" . }}
- name: wasm-reconciler-stores
  secret: {secretName: {{ include "wasm-reconciler.storesName" . }}, defaultMode: 288}
{{- end }}
{{- if include "wasm-reconciler.hasTokens" . }}
- name: wasm-reconciler-tokens
  secret: {secretName: {{ include "wasm-reconciler.tokensName" . }}, defaultMode: 288}
{{- end }}
{{- with .Values.admin.tlsSecret }}
- name: wasm-reconciler-admin-tls
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with .Values.admin.clientCASecret }}
- name: wasm-reconciler-admin-client-ca
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- with .Values.modules.registrySecret }}
- name: wasm-reconciler-registry
  secret: {secretName: {{ . }}, defaultMode: 288}
{{- end }}
{{- if ne .Values.modules.from "none" }}
- name: wasm-reconciler-modules
  {{- if eq .Values.modules.from "persistentVolumeClaim" }}
  persistentVolumeClaim: {claimName: {{ .Values.modules.persistentVolumeClaim.claimName }}, readOnly: true}
  {{- else if eq .Values.modules.from "configMap" }}
  configMap: {name: {{ include "wasm-reconciler.modulesName" . }}}
  {{- else if eq (include "wasm-reconciler.pull" .) "imageVolume" }}
  image: {reference: {{ .Values.modules.oci.reference | quote }}, pullPolicy: {{ .Values.modules.oci.pullPolicy }}}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- if and .Values.kube.enabled .Values.kube.secret }}
- name: wasm-reconciler-kube
  secret: {secretName: {{ .Values.kube.secret }}, defaultMode: 288}
{{- end }}
{{- if and .Values.kube.enabled (eq .Values.kube.server "in-cluster") }}
- name: wasm-reconciler-token
  projected:
    defaultMode: 288
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- end }}
