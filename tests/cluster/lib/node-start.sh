#!/usr/bin/env bash
# Runs in the hub's namespaces: starts node $NODE in its own, and plugs it into
# the bridge. The node becomes a child of the hub's first process.
. "$STATE/lib/inside.sh"
cd /
D=$STATE/node$NODE
mkdir -p "$D"
if [ -s "$D/pid" ] && kill -0 "$(cat "$D/pid")" 2>/dev/null; then
  say "node$NODE is already there"
  exit 0
fi
join_cgroup hub
fresh_cgroup "node$NODE"
rm -f "$D/ready"
ip link del "veth$NODE" 2>/dev/null || true

setsid unshare --pid --mount --net --uts --ipc --fork --kill-child=KILL --propagation private \
  bash "$STATE/lib/node.sh" </dev/null >>"$STATE/log/node$NODE.log" 2>&1 &
OUTER=$!
echo $OUTER >"$D/pid"

# Its network namespace is the one of its first process, which is not there at once.
OURS=$(readlink /proc/self/ns/net) FIRST='' THEIRS=''
for _ in $(seq 250); do
  FIRST=$(tr -d ' ' <"/proc/$OUTER/task/$OUTER/children" 2>/dev/null) || true
  THEIRS=$(readlink "/proc/${FIRST:-none}/ns/net") || true
  [ -z "$THEIRS" ] || [ "$THEIRS" = "$OURS" ] || break
  sleep 0.02
done
ip link add "veth$NODE" type veth peer name eth0 netns "$FIRST"
ip link set "veth$NODE" master br0 up
