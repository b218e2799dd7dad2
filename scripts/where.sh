# Where `make run` runs: on a Kubernetes of its own, or in a context of the
# user's. Sets WHERE (own, kind, k3d, minikube, other) and CONTEXT, and gives
# kube and helm for that place.
# shellcheck shell=bash disable=SC2034,SC2153 # for the scripts that read this

# What `make run` did last, for `make stop` and `make kubectl`.
RECORD=$STATES/run
DEMO=rauthy # name of the RauthyCluster in examples/minimal.yaml

# The harness' own default; the tests use another one.
export STATE=${STATE:-$STATES/cluster}

of_context() { # CONTEXT JSONPATH, a look into the kubeconfig only
  kubectl config view --minify --context "$1" -o "jsonpath=$2" 2>/dev/null
}

# The kind of a context. A name alone proves nothing, so the tool has to know the
# cluster, and its server has to be on this machine.
kind_of() {
  local context=$1 server provider
  server=$(of_context "$context" '{.clusters[0].cluster.server}') || true
  provider=$(of_context "$context" '{.clusters[0].cluster.extensions[*].extension.provider}') || true
  case $provider in
    *minikube*) if command -v minikube >/dev/null; then echo minikube && return; fi ;;
  esac
  case $server in
    https://127.0.0.1:* | https://localhost:* | https://0.0.0.0:* | https://host.docker.internal:*) ;;
    *) echo other && return ;;
  esac
  case $context in
    kind-*) if kind get clusters 2>/dev/null | grep -qxF "${context#kind-}"; then echo kind && return; fi ;;
    k3d-*) if k3d cluster list "${context#k3d-}" >/dev/null 2>&1; then echo k3d && return; fi ;;
  esac
  echo other
}

# The current context may be production: it is used when it is of a local kind,
# any other only when it is named.
choose_where() {
  local current
  if [ -n "${CONTEXT:-}" ]; then
    command -v kubectl >/dev/null || die "CONTEXT=$CONTEXT needs kubectl, which is not in PATH"
    [ -n "$(of_context "$CONTEXT" '{.clusters[0].cluster.server}')" ] ||
      die "CONTEXT=$CONTEXT: kubectl knows no such context; it knows: $(kubectl config get-contexts -o name 2>/dev/null | tr '\n' ' ')"
    WHERE=$(kind_of "$CONTEXT")
    return
  fi
  WHERE=own
  current=$(kubectl config current-context 2>/dev/null) || current=''
  [ -n "$current" ] || return 0
  case $(kind_of "$current") in
    other) say "the current context $current is left alone; to use it: make run CONTEXT=$current IMAGE=..." ;;
    *)
      WHERE=$(kind_of "$current") CONTEXT=$current
      say "using the current context $CONTEXT ($WHERE)"
      ;;
  esac
}

# Where the last run went; without one, the own cluster.
recorded_where() {
  local asked=${CONTEXT:-}
  WHERE=own CONTEXT='' NAMESPACE=default OPERATOR_NAMESPACE=rauthy-operator CREATED=''
  # shellcheck source=/dev/null
  if [ -e "$RECORD" ]; then . "$RECORD"; fi
  if [ -n "$asked" ] && [ "$asked" != "$CONTEXT" ]; then
    die "the last \`make run\` was not in context $asked${CONTEXT:+, but in $CONTEXT}"
  fi
}

kube() {
  if [ "$WHERE" = own ]; then "$CLUSTER/cluster" run kubectl "$@"; else kubectl --context "$CONTEXT" "$@"; fi
}

helm() {
  if [ "$WHERE" = own ]; then
    "$CLUSTER/cluster" run helm "$@"
  elif command -v helm >/dev/null; then
    command helm --kube-context "$CONTEXT" "$@"
  else
    "$(own_tools)/helm" --kube-context "$CONTEXT" "$@"
  fi
}

# Takes away what `make run` made in a context of the user's, and nothing else.
remove_from_context() {
  case " $CREATED " in *" cluster "*) kube -n "$NAMESPACE" delete rauthycluster "$DEMO" --ignore-not-found --wait --timeout=60s || true ;; esac
  case " $CREATED " in *" operator "*) helm -n "$OPERATOR_NAMESPACE" uninstall rauthy-operator --wait --timeout 60s || true ;; esac
  case " $CREATED " in *" crd "*)
    if [ -z "$(kube get rauthyclusters -A -o name 2>/dev/null)" ]; then
      kube delete crd rauthyclusters.rauthy.dev --ignore-not-found || true
    else
      say "the CRD stays, as there are other RauthyClusters"
    fi
    ;;
  esac
  case " $CREATED " in *" namespace "*) kube delete namespace "$NAMESPACE" --ignore-not-found --timeout=60s || true ;; esac
}
