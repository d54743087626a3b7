{{- define "hashlake.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hashlake.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hashlake.labels" -}}
{{ include "hashlake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hashlake.reindexes" -}}
{{- if and (eq .Values.store.mode "pvc") .Values.datalake -}}true{{- end -}}
{{- end -}}

{{- /* What every pod here has. Service links would set HASHLAKE_GATEWAY_PORT, to an address, for a Service of that name. */ -}}
{{- define "hashlake.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hashlake.container" -}}
image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "hashlake.folders" -}}
- {name: HASHLAKE_INDEX_STORE, value: /data/index_store}
- {name: HASHLAKE_MODEL_STORE, value: /data/model_store}
{{- end -}}

{{- define "hashlake.mounts" -}}
- {name: data, mountPath: /data/index_store, subPath: index_store}
- {name: data, mountPath: /data/model_store, subPath: model_store}
{{- end -}}

{{- define "hashlake.volumes" -}}
- name: data
{{- if eq .Values.store.mode "pvc" }}
  persistentVolumeClaim:
    claimName: {{ .Values.store.existingClaim | default (include "hashlake.name" .) }}
{{- else }}
  emptyDir: {}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with .Values.datalake }}
- name: datalake
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
