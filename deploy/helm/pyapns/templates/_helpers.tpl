{{- define "pyapns.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 56 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 56 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pyapns.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pyapns.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "pyapns.selector" . }}
{{- end -}}

{{/* Refuses values with which no node would start. */}}
{{- define "pyapns.check" -}}
{{- if not (or .Values.insecure (contains "[[api_keys]]" .Values.config)) -}}
{{- fail "the nodes have no API keys: put the output of `pyapns key` into `config`, or set insecure=true if something else protects the nodes" -}}
{{- end -}}
{{- if .Values.store.redis -}}
{{- if not .Values.cluster.secret -}}
{{- fail "cluster.secret is missing: run `pyapns cluster init DIR`, then `kubectl create secret generic NAME --from-file DIR`" -}}
{{- end -}}
{{- if not .Values.cluster.allow -}}
{{- fail "cluster.allow is missing: list the networks of the pods, such as 10.244.0.0/16" -}}
{{- end -}}
{{- end -}}
{{- if le (int .Values.drain.seconds) (int .Values.drain.noticeSeconds) -}}
{{- fail "drain.seconds must be more than drain.noticeSeconds, which are a part of it" -}}
{{- end -}}
{{- end -}}

{{/* The metadata and the spec of a pod. */}}
{{- define "pyapns.pod" -}}
{{- include "pyapns.check" . -}}
metadata:
  labels:
    {{- include "pyapns.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  # PYAPNS_… variables of a service would look like settings.
  enableServiceLinks: false
  automountServiceAccountToken: false
  {{- with .Values.serviceAccountName }}
  serviceAccountName: {{ . }}
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ add .Values.drain.seconds 15 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    # Always would make the key of the credentials writable for the group, and the node refuses such a key.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: pyapns
      image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/pyapns/pyapns.toml]
      env:
        {{- include "pyapns.variables" . | nindent 8 }}
      ports:
        - name: http
          containerPort: 8088
        {{- if .Values.store.redis }}
        - name: cluster
          containerPort: 8090
        {{- end }}
      startupProbe:
        httpGet: {{- include "pyapns.probe" (dict "path" "/healthz" "Values" .Values) | nindent 10 }}
        periodSeconds: 2
        failureThreshold: 150
      readinessProbe:
        httpGet: {{- include "pyapns.probe" (dict "path" "/readyz" "Values" .Values) | nindent 10 }}
        periodSeconds: 2
        failureThreshold: 2
      livenessProbe:
        httpGet: {{- include "pyapns.probe" (dict "path" "/healthz" "Values" .Values) | nindent 10 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: config
          mountPath: /etc/pyapns
          readOnly: true
        - name: data
          mountPath: /var/lib/pyapns
        {{- range $name, $secret := include "pyapns.secrets" . | fromYaml }}
        - name: {{ $name }}
          mountPath: /run/secrets/pyapns/{{ $name }}
          readOnly: true
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "pyapns.fullname" . }}
    {{- range $name, $secret := include "pyapns.secrets" . | fromYaml }}
    - name: {{ $name }}
      secret:
        secretName: {{ $secret }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.store.redis }}
    # Events that wait for Redis, and a copy of the apps, for as long as the pod exists.
    - name: data
      emptyDir: {}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "pyapns.probe" -}}
path: {{ .path }}
port: http
{{- if .Values.tlsSecret }}
scheme: HTTPS
{{- end }}
{{- end -}}

{{/* The Secrets that are mounted, by the name of their folder. */}}
{{- define "pyapns.secrets" -}}
{{- with .Values.appsSecret }}
apps: {{ . }}
{{- end }}
{{- with .Values.tlsSecret }}
tls: {{ . }}
{{- end }}
{{- if .Values.store.redis }}
cluster: {{ .Values.cluster.secret }}
{{- with .Values.store.passwordSecret }}
redis: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "pyapns.variables" -}}
- name: PYAPNS_LISTEN
  value: 0.0.0.0:8088
- name: PYAPNS_DATA_DIR
  # Not the volume itself, whose permissions are those of Kubernetes.
  value: /var/lib/pyapns/data
- name: PYAPNS_DRAIN_SECONDS
  value: {{ .Values.drain.seconds | quote }}
- name: PYAPNS_DRAIN_NOTICE_SECONDS
  value: {{ .Values.drain.noticeSeconds | quote }}
- name: PYAPNS_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if .Values.insecure }}
- name: PYAPNS_INSECURE
  value: "true"
- name: PYAPNS_HOSTS
  {{- $name := include "pyapns.fullname" . }}
  {{- $full := printf "%s.%s" $name .Release.Namespace }}
  {{- $own := list $name $full (printf "%s.svc" $full) (printf "%s.svc.cluster.local" $full) }}
  value: {{ concat $own .Values.hosts | join "," | quote }}
{{- end }}
{{- if .Values.tlsSecret }}
- name: PYAPNS_TLS_CERTIFICATE
  value: /run/secrets/pyapns/tls/tls.crt
- name: PYAPNS_TLS_KEY
  value: /run/secrets/pyapns/tls/tls.key
{{- end }}
{{- if .Values.store.redis }}
- name: PYAPNS_STORE_URL
  value: {{ .Values.store.redis | quote }}
{{- with .Values.store.username }}
- name: PYAPNS_STORE_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.store.passwordSecret }}
- name: PYAPNS_STORE_PASSWORD_FILE
  value: /run/secrets/pyapns/redis/password
{{- end }}
- name: PYAPNS_CREDENTIALS_KEY_FILES
  value: /run/secrets/pyapns/cluster/credentials.key
- name: PYAPNS_CLUSTER_IDENTITY_FILES
  value: /run/secrets/pyapns/cluster/cluster.pem
- name: PYAPNS_CLUSTER_ALLOW
  value: {{ join "," .Values.cluster.allow | quote }}
- name: PYAPNS_CLUSTER_LISTEN
  value: 0.0.0.0:8090
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: PYAPNS_CLUSTER_ADVERTISE
  value: $(POD_IP):8090
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
