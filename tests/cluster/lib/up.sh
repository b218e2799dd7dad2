# `cluster up`: from nothing to nodes that are Ready.
# shellcheck shell=bash

up() {
  local nodes=${1:-3} bin n
  [ $# -le 1 ] || misuse "up takes one number"
  case $nodes in [1-9]) ;; *) misuse "$nodes is not a number of nodes from 1 to $MAX_NODES" ;; esac
  PROXY_MODE=${PROXY_MODE:-nftables} NETPOL=${NETPOL:-1} FAST_NODE_FAILURE=${FAST_NODE_FAILURE:-0}
  FAST_RESTARTS=${FAST_RESTARTS:-0}
  case $PROXY_MODE in nftables | iptables) ;; *) misuse "PROXY_MODE=$PROXY_MODE is neither nftables nor iptables" ;; esac
  case $NETPOL$FAST_NODE_FAILURE$FAST_RESTARTS in
    [01][01][01]) ;;
    *) misuse "NETPOL, FAST_NODE_FAILURE and FAST_RESTARTS are 0 or 1" ;;
  esac
  already_up "$nodes" && return
  "$HERE/prereqs"
  bin=$("$HERE/build")
  case $bin/ in /run/* | /var/lib/* | /var/log/*) die "the nodes do not see the cache $bin; set XDG_CACHE_HOME" ;; esac
  touch "$bin" # in use: `build` removes what was not for a month

  lock
  already_up "$nodes" && return
  clear_remains
  exec 6>&2 # a signal may come while stderr is elsewhere
  trap 'undo $?' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  touch "$STATE/.cluster"
  NODES=$nodes BIN=$bin
  prepare
  spawn
  wait_for 90 "the API server answers" kube get --raw /readyz
  { cat "$STATE/lib/system.yaml" && volumes; } | kube apply -f - >/dev/null
  for n in $(seq "$NODES"); do start_node "$n"; done
  for n in $(seq "$NODES"); do wait_for 120 "node$n is Ready" node_usable "$n"; done
  touch "$STATE/complete"
  trap - EXIT INT TERM HUP
  say "up with $NODES nodes; try: $HERE/cluster run kubectl get nodes"
}

already_up() {
  alive && [ -e "$STATE/complete" ] || return 1
  need_up
  [ "$NODES" = "$1" ] || die "already up, with $NODES nodes instead of $1; run down first"
  say "already up with $NODES nodes ($STATE)"
}

# What a cluster left that was ended by a reboot, or by a kill during its start.
clear_remains() {
  if [ -e "$STATE/.cluster" ]; then
    say "removing the remains of a cluster that ended"
    tear_down
    lock
  fi
  [ -z "$(ls -A "$STATE")" ] || die "$STATE is not empty, and not the folder of a cluster"
}

# An interruption leaves nothing. A failure leaves its logs, until the next up or down.
undo() {
  trap '' INT TERM HUP
  exec 2>&6
  if [ "$1" -ge 130 ]; then
    say "interrupted, removing all"
    tear_down
  else
    say "failed; the logs are in $STATE/log until the next up or down"
    { tail -n 5 "$STATE"/log/{hub,kube-apiserver,restarts,node*,kubelet*}.log 2>/dev/null || true; } >&2
    end_processes
    remove_cgroups || true
  fi
  exit "$1"
}

# The folder: scripts (a checkout may change while a cluster runs), settings, keys.
prepare() {
  local n addresses=()
  chmod 700 "$STATE"
  mkdir -p "$STATE/log" "$STATE/lib"
  cp "$HERE"/lib/* "$HERE/manifests/system.yaml" "$STATE/lib/"
  printf 'NODES=%q BIN=%q\n' "$NODES" "$BIN" >"$STATE/env"
  printf 'PROXY_MODE=%s NETPOL=%s FAST_NODE_FAILURE=%s FAST_RESTARTS=%s\n' \
    "$PROXY_MODE" "$NETPOL" "$FAST_NODE_FAILURE" "$FAST_RESTARTS" >"$STATE/settings"
  for n in $(seq "$NODES"); do addresses+=("node$n=$(node_ip "$n")"); done
  "$BIN/kubebox" pki -dir "$STATE/pki" -hub "$HUB_IP" -service "$API_SERVICE_IP" "${addresses[@]}"
  make_cgroups "cluster.$$" "$NODES"
  say "keys and cgroups (version $(cgroup_version)) are made"
}

# The environment of the cluster is its own: a proxy or a secret of the caller
# has no place there.
clean_env() {
  exec env -i STATE="$STATE" "$@"
}
PATH_INSIDE=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

spawn() {
  local outer init=''
  (
    close_files
    cd /
    clean_env PATH="$BIN/bin:$BIN/cli:$BIN:$PATH_INSIDE" HOME=/nonexistent \
      setsid unshare --pid --mount --net --uts --ipc --fork --kill-child=KILL --propagation private \
      bash "$STATE/lib/hub.sh" >"$STATE/log/hub.log" 2>&1
  ) &
  outer=$!
  for _ in $(seq 250); do
    init=$(tr -d ' ' <"/proc/$outer/task/$outer/children" 2>/dev/null) || true
    # unshare's child is in its new network namespace when there is one at all
    if [ -n "$init" ] && [ "$(readlink "/proc/$init/ns/net")" != "$(readlink /proc/self/ns/net)" ]; then break; fi
    init=''
    sleep 0.02
  done
  [ -n "$init" ] || die "the first process of the cluster did not start: $(tail -n 3 "$STATE/log/hub.log")"
  { echo "$outer $init" && birth "$outer" && birth "$init"; } >"$STATE/init"
  disown "$outer"
  alive || die "the cluster ended at once: $(tail -n 3 "$STATE/log/hub.log")"
}

start_node() {
  (
    close_files
    clean_env NODE="$1" PATH="$BIN/bin:$BIN/cli:$BIN:$PATH_INSIDE" HOME=/nonexistent \
      nsenter -t "${INIT:?}" -m -n -p -u -i -- bash "$STATE/lib/node-start.sh"
  )
}

# Ready, and the controller manager has taken the taint of a new node away: before
# that all pods would land on the first node that lost it. And its kubelet answers:
# a node that crashed is called Ready for 50 s more.
node_usable() {
  [ -e "$STATE/node$1/ready" ] || return 1
  [ "$(kube get --raw "/api/v1/nodes/node$1/proxy/healthz" 2>/dev/null)" = ok ] || return 1
  [ "$(kube get node "node$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints}' 2>/dev/null)" = True ]
}

wait_for() { # SECONDS WHAT CMD...
  local end=$((SECONDS + $1 * ${PATIENCE:-1})) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    alive || die "the cluster ended"
    [ $SECONDS -lt "$end" ] || die "gave up waiting: $what"
    sleep 0.2
  done
  say "$what"
}

volumes() { # eight local volumes for each node
  local n i dir
  for n in $(seq "$NODES"); do
    for i in $(seq 8); do
      dir=$STATE/volumes/node$n-$i
      mkdir -p "$dir"
      cat <<END
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: local-node$n-$i}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  persistentVolumeReclaimPolicy: Retain
  local: {path: $dir}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node$n]}]}]}}
END
    done
  done
}
