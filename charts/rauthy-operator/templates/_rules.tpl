{{- /*
What the operator may do. Each verb is needed: a test takes one after another away. The rules for objects in namespaces
stand in one ClusterRole, or in a Role for each of watchNamespaces.
*/ -}}
{{- define "rauthy-operator.rules" -}}
# To see the clusters that it runs, and each as it is now before anything is done. It never writes them ...
- apiGroups: [rauthy.dev]
  resources: [rauthyclusters]
  verbs: [get, list, watch]
# ... but what it has seen of them.
- apiGroups: [rauthy.dev]
  resources: [rauthyclusters/status]
  verbs: [patch]
# The pods of a cluster. Deleting is left to the owner references.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch]
# The members' names, the clients' Service, the host list, the pods' identity (which may do nothing).
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# The token, the CA and the certificate, and the user's that they are copied from, read by name. No list and no watch:
# RBAC cannot tell Secrets apart by label, so either would show every Secret there is. A CA is deleted when the
# certificate comes from elsewhere.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
# What cert-manager is asked for in tls.mode CertManager.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, create, patch, delete]
# Drains take one member at a time; a budget is removed where there is one member only.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Only members and the operator reach the members' port; removed where it is switched off.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Who is ready, at which address, and how a container ended. Patching sets one annotation, which makes the kubelet
# show the pod a changed host list at once. Deleting replaces a pod by one of a newer template, one at a time.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# Where Prometheus finds the agents' metrics, in clusters that know the kind; removed where spec.monitoring says so.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, create, patch, delete]
# What happened to a cluster, for `kubectl describe`.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "rauthy-operator.clusterRules" -}}
# To say at start when the installed definition is older than the operator, which loses fields silently.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [rauthyclusters.rauthy.dev]
  verbs: [get]
{{- end -}}
