#!/usr/bin/env bash
# The first process of the cluster's pid namespace: the bridge, etcd, API server,
# controller manager, scheduler, CoreDNS. Its end is the cluster's end.
. "$STATE/lib/inside.sh"
cd /
hostname control-plane
join_cgroup hub
hide_machine

# `up` writes down who we are; without that nobody could ever end us.
for _ in $(seq 200); do
  if [ -s "$STATE/init" ]; then break; fi
  sleep 0.05
done
[ -s "$STATE/init" ]

ip link set lo up
ip link add br0 type bridge
ip addr add "$HUB_IP/24" dev br0
ip link set br0 up
sysctl -qw net.ipv4.ip_forward=1
# Where the machine has br_netfilter (Docker loads it) what nodes say to each other
# would pass the rules of this namespace too.
sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
route_pods # so that the API server reaches webhooks, and `cluster run` the pods

# Durability is not what is tested here, and an fsync costs the machine's disk.
mkdir -p "$STATE/etcd"
mount -t tmpfs -o mode=700 tmpfs "$STATE/etcd"
keep etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380

# Upstream's values; FAST_NODE_FAILURE=1 is for a test that waits for an eviction.
toleration=300 grace=50s
if [ "$FAST_NODE_FAILURE" = 1 ]; then toleration=20 grace=15s; fi

# The requestheader flags: without them the scheduler and the controller manager
# log an error each second.
keep kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
  --advertise-address "$HUB_IP" --secure-port 6443 --service-cluster-ip-range "$SERVICE_NET" \
  --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
  --kubelet-client-certificate "$PKI/kubelet-client.crt" --kubelet-client-key "$PKI/kubelet-client.key" \
  --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP \
  --requestheader-client-ca-file "$PKI/ca.crt" --requestheader-allowed-names front-proxy \
  --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
  --requestheader-extra-headers-prefix X-Remote-Extra- \
  --proxy-client-cert-file "$PKI/front-proxy.crt" --proxy-client-key-file "$PKI/front-proxy.key" \
  --service-account-issuer https://kubernetes.default.svc.cluster.local \
  --service-account-key-file "$PKI/sa.pub" --service-account-signing-key-file "$PKI/sa.key" \
  --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
  --allow-privileged --enable-aggregator-routing --profiling=false \
  --default-not-ready-toleration-seconds $toleration --default-unreachable-toleration-seconds $toleration

# The rest stops or backs off while its RBAC rules are not there yet.
until KUBECONFIG=$PKI/admin.conf kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.1; done

keep kube-controller-manager kube-controller-manager --kubeconfig "$PKI/kube-controller-manager.conf" \
  --authentication-kubeconfig "$PKI/kube-controller-manager.conf" \
  --authorization-kubeconfig "$PKI/kube-controller-manager.conf" \
  --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
  --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
  --flex-volume-plugin-dir "$STATE/volume-plugins" \
  --use-service-account-credentials --leader-elect=false --node-monitor-grace-period $grace --profiling=false
keep kube-scheduler kube-scheduler --kubeconfig "$PKI/kube-scheduler.conf" \
  --authentication-kubeconfig "$PKI/kube-scheduler.conf" \
  --authorization-kubeconfig "$PKI/kube-scheduler.conf" --leader-elect=false --profiling=false

# ttl and cache as in production: shorter ones hide what stale names do.
cat >"$STATE/Corefile" <<END
.:53 {
  bind $HUB_IP
  errors
  health 127.0.0.1:8080
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $PKI/coredns.conf test
    pods insecure
    ttl 30
  }
  cache 30
  loadbalance
}
END
keep coredns coredns -conf "$STATE/Corefile"

# For `cluster run`: Services by their own address from here too. kube-proxy wants
# to be on some node; it waits for node1 and takes little more from it than the name.
proxy_config node1 >"$STATE/proxy.yaml"
ip route add "$SERVICE_NET" dev br0 src "$HUB_IP" # no packet takes it: kube-proxy readdresses them before
keep kube-proxy kube-proxy --config "$STATE/proxy.yaml"
stay
