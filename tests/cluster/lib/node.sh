#!/usr/bin/env bash
# The first process of node $NODE's pid namespace: containerd, kubelet, kube-proxy
# and the enforcer of NetworkPolicy. All programs keep their usual paths.
. "$STATE/lib/inside.sh"
N=$NODE D=$STATE/node$NODE

# The node's cgroup has to be entered before it can become a namespace's root.
if [ "${1:-}" != rooted ]; then
  join_cgroup "node$N"
  exec unshare --cgroup bash "$STATE/lib/node.sh" rooted
fi
cd /
hostname "node$N"
hide_machine
umount -n -R /sys/fs/cgroup # or the kubelet finds each hierarchy twice
mount -t sysfs sysfs /sys # the interfaces of this network namespace, not the machine's
mount_cgroups

# What a node keeps over a crash lies in its folder; the rest ends with it.
for p in /var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log/pods /var/log/containers; do
  mkdir -p $p "$D$p"
  mount --bind "$D$p" $p
done
mount --make-rshared /var/lib/kubelet # for volumes with mountPropagation

# The kubelet insists on these values, and would write them to the machine's
# kernel. It reads them from files of ours instead, and so changes nothing.
mkdir -p "$D/sysctl"
while read -r name value; do
  [ -e "/proc/sys/$name" ] || continue
  echo "$value" >"$D/sysctl/${name//\//.}"
  mount --bind "$D/sysctl/${name//\//.}" "/proc/sys/$name"
done <<'END'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END

ip link set lo up
for _ in $(seq 200); do
  if ip link show eth0 >/dev/null 2>&1; then break; fi
  sleep 0.05
done
ip addr add "$(node_ip "$N")/24" dev eth0
ip link set eth0 up
ip route add default via "$HUB_IP"
route_pods "$N"
sysctl -qw net.ipv4.ip_forward=1

. "$STATE/lib/node-config.sh"

keep "containerd$N" containerd --config "$D/containerd.toml"
ctr() { command ctr --address "$D/containerd.sock" --namespace k8s.io "$@"; }
until ctr version >/dev/null 2>&1; do sleep 0.1; done
ctr images import "$BIN/pause.tar" >/dev/null
# Images that were loaded while this node was down; `cluster load` holds this lock.
(
  flock 7
  for tar in "$D"/pending/*.tar; do
    [ -e "$tar" ] || continue
    ctr images import "$tar" >/dev/null && rm "$tar"
  done
  touch "$D/ready"
) 7>"$D/images.lock"

keep "kubelet$N" kubelet --config "$D/kubelet.yaml" --kubeconfig "$PKI/node$N.conf" --hostname-override "node$N" \
  --node-ip "$(node_ip "$N")" --cert-dir "$D/kubelet-pki" --node-labels "topology.kubernetes.io/zone=zone$N"
keep "kube-proxy$N" kube-proxy --config "$D/proxy.yaml"
[ "$NETPOL" != 1 ] || keep "netpol$N" kubebox netpol -kubeconfig "$PKI/netpol.conf" -node "node$N"
stay
