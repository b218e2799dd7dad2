# Shared by what runs inside: hub.sh, node.sh, node-start.sh.
# shellcheck shell=bash
set -euo pipefail
# shellcheck source=/dev/null
. "$STATE/env"
# shellcheck source=/dev/null
. "$STATE/settings"
for part in common net cgroups; do . "$STATE/lib/$part.sh"; done
PKI=$STATE/pki

# keep NAME CMD...: runs it, and again when it ends, as a real machine's init does.
keep() {
  local name=$1 rc
  shift
  while :; do
    rc=0
    "$@" >>"$STATE/log/$name.log" 2>&1 || rc=$?
    echo "$(date +%T) $name ended with $rc and is started again" >>"$STATE/log/restarts.log"
    sleep 1
  done &
}

# -n: without it, mount makes a folder of its own in the machine's /run.
mount() { command mount -n "$@"; }

# The machine's /run, /var/lib and /var/log stay as they are, unseen in here.
# Nothing is ever made in them, and no cluster can trip over another's folders.
hide_machine() {
  local d
  mount -t proc proc /proc
  for d in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $d; done
}

# The zeros leave the conntrack limits alone, which belong to the whole machine.
proxy_config() { # NODE
  cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $PKI/kube-proxy.conf}
mode: $PROXY_MODE
hostnameOverride: $1
clusterCIDR: $POD_NET
detectLocalMode: ClusterCIDR
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
END
}

# A bash that is process 1 reaps what is orphaned to it while it waits.
stay() {
  trap 'exit 0' TERM INT
  while :; do wait -n || sleep 0.2; done
}
