# The configuration files of node $N, written to its folder $D.
# shellcheck shell=bash

# ptp, not bridge: each packet is routed by the node. So neither br_netfilter nor
# hairpin settings are needed, and the forward hook sees all traffic of the pods.
mkdir -p "$D/cni"
cat >"$D/cni/10-pods.conflist" <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(pod_net "$N")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END

# In a container the state folder may be on an overlay, which takes no other.
SNAPSHOTTER=native
mkdir -p "$D/try/lower" "$D/try/upper" "$D/try/work" "$D/try/merged"
if mount -t overlay -o "lowerdir=$D/try/lower,upperdir=$D/try/upper,workdir=$D/try/work" overlay "$D/try/merged" 2>/dev/null; then
  umount "$D/try/merged"
  SNAPSHOTTER=overlayfs
fi
rm -rf "$D/try"

# restrict_oom_score_adj: where root lacks CAP_SYS_RESOURCE (a container) a
# negative value is refused, and no pod would start.
cat >"$D/containerd.toml" <<END
version = 2
[grpc]
  address = "$D/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$D/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "cluster.local/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_dir)"
    conf_dir = "$D/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$SNAPSHOTTER"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
END

# Values that are left out are upstream's own, syncFrequency (1m) among them: a
# faster kubelet hides faults. Disk pressure is off, as the disk is the machine's,
# and so is image collection: nobody could pull an image again.
cat >"$D/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$D/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/node$N.crt
tlsPrivateKeyFile: $PKI/node$N.key
clusterDomain: cluster.local
clusterDNS: [$HUB_IP]
resolvConf: ""
volumePluginDir: $D/volume-plugins
evictionHard: {memory.available: 100Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
imageGCHighThresholdPercent: 100
syncFrequency: 1m
maxPods: 110
END
if [ "$FAST_RESTARTS" = 1 ]; then
  cat >>"$D/kubelet.yaml" <<'END'
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
END
fi

proxy_config "node$N" >"$D/proxy.yaml"
