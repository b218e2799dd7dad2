# The cluster's cgroups, version 1 or 2. Both get the same tree:
#
#   cluster.PID/hub            the control plane
#   cluster.PID/nodeN          a node: the root of its cgroup namespace
#   cluster.PID/nodeN/system   its own programs, as system.slice on a real node; beside it the kubelet makes kubepods
#
# A cgroup counts as one program where processors are scarce. A whole cluster is
# given four times that, or a compiler beside it would leave its pods waiting for
# seconds; and a node's own programs together one, or each of their threads would
# count half as much as all pods.
#
# Version 1: one such tree in each hierarchy, below the cgroup of the caller, so
# that the caller's limits hold. Version 2: below the root, because a cgroup that
# holds processes (as the caller's does) cannot hand controllers down.
# shellcheck shell=bash

cgroup_version() {
  case $(stat -fc %T /sys/fs/cgroup) in
    cgroup2fs) echo 2 ;;
    *) echo 1 ;;
  esac
}

# Version 1: prints "CONTROLLERS FOLDER" of this process for each hierarchy. The
# folder is not simply path below mount point: in a container the mount may begin
# lower in the tree.
v1_own() {
  local names path root mount
  while IFS=: read -r _ names path; do
    case $names in '' | name=[!s]*) continue ;; esac # name=systemd: containerd's shim looks for it
    read -r root mount < <(awk -v want="${names%%,*}" '{
      for (i = 7; i < NF && $i != "-"; i++);
      if ($(i + 1) == "cgroup" && index("," $(i + 3) ",", "," want ",")) { print $4, $5; exit }
    }' /proc/self/mountinfo) || continue
    [ "$root" = / ] || path=${path#"$root"}
    [ -d "$mount$path" ] || path=
    path=$mount$path
    echo "$names ${path%/}"
  done </proc/self/cgroup
}

# make_cgroups NAME NODES: makes the tree, and lists its tops in $STATE/cgroups.
# They are listed before they are made: an interruption cannot hide one.
make_cgroups() {
  local name=$1 nodes=$2 names dir n
  if [ "$(cgroup_version)" = 2 ]; then
    dir=/sys/fs/cgroup/$name
    echo "all $dir" >"$STATE/cgroups"
    v2_delegate /sys/fs/cgroup
    mkdir "$dir" "$dir/hub"
    echo 400 >"$dir/cpu.weight"
    v2_delegate "$dir"
    for n in $(seq "$nodes"); do mkdir "$dir/node$n"; done
    return
  fi
  v1_own | while read -r names dir; do
    dir=$dir/$name
    echo "$names $dir" >>"$STATE/cgroups"
    mkdir "$dir"
    v1_cpuset "$dir"
    [ ! -e "$dir/cpu.shares" ] || echo 4096 >"$dir/cpu.shares"
    for n in hub $(seq -f node%g "$nodes"); do
      mkdir "$dir/$n"
      v1_cpuset "$dir/$n"
    done
  done
  [ -s "$STATE/cgroups" ] || die "no cgroup hierarchy was found"
}

v1_cpuset() { # no task can join while these two are empty
  local f
  for f in cpuset.cpus cpuset.mems; do
    if [ -e "$1/$f" ]; then cat "${1%/*}/$f" >"$1/$f"; fi
  done
}

v2_delegate() { # FOLDER: hand all that pods need to the cgroups below it
  local c
  for c in cpuset cpu io memory hugetlb pids; do
    grep -qw $c "$1/cgroup.controllers" || continue
    echo "+$c" 2>/dev/null >"$1/cgroup.subtree_control" ||
      die "cgroup v2: $1 cannot hand down $c; in a container start that with --cgroupns=host"
  done
  for c in cpu memory pids; do
    grep -qw $c "$1/cgroup.subtree_control" || die "cgroup v2: there is no $c controller in $1"
  done
}

join_cgroup() { # hub | nodeN: moves the calling shell
  local dir
  while read -r _ dir; do echo 0 >"$dir/$1/cgroup.procs"; done <"$STATE/cgroups"
}

# Makes the node's cgroup anew. After a crash the dead pods' cgroups are still in
# it, and each would cost the new kubelet three seconds; and in version 2 it still
# hands controllers down, so that nothing could join it.
fresh_cgroup() { # nodeN
  local names dir
  while read -r names dir; do
    dir=$dir/$1
    for _ in $(seq 100); do
      find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null && break
      sleep 0.05
    done
    mkdir "$dir"
    [ "$names" = all ] || v1_cpuset "$dir"
  done <"$STATE/cgroups"
}

remove_cgroups() { # true when none is left
  local dir left=0
  [ -e "$STATE/cgroups" ] || return 0
  while read -r _ dir; do
    [ ! -d "$dir" ] || find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || left=1
  done <"$STATE/cgroups"
  return $left
}

# Inside a node, at the root of its cgroup namespace: the hierarchies, mounted
# anew, so that its programs see that root and nothing above it.
mount_cgroups() {
  local names name dir
  if [ "$(cut -d' ' -f1 "$STATE/cgroups")" = all ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # Only a cgroup without processes of its own can hand controllers down.
    mkdir -p /sys/fs/cgroup/system
    echo 0 >/sys/fs/cgroup/system/cgroup.procs
    v2_delegate /sys/fs/cgroup
    return
  fi
  mount -t tmpfs tmpfs /sys/fs/cgroup
  while read -r names _; do
    dir=/sys/fs/cgroup/${names#name=}
    mkdir "$dir"
    case $names in
      name=*) mount -t cgroup -o "none,$names" cgroup "$dir" ;;
      *) mount -t cgroup -o "$names" cgroup "$dir" ;;
    esac
    case $names in *,*) # the single names are links to the joint mount
      for name in ${names//,/ }; do ln -s "$names" "/sys/fs/cgroup/$name"; done ;;
    esac
    if [ -e "$dir/cpu.shares" ]; then
      mkdir "$dir/system"
      echo 0 >"$dir/system/cgroup.procs"
    fi
  done <"$STATE/cgroups"
}
