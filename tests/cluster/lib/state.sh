# The state folder of one cluster, and the process that the cluster is.
# shellcheck shell=bash

# Fixes STATE as an absolute path, and refuses one that cannot work.
settle_state() {
  local home=${XDG_STATE_HOME:-${HOME:-/root}/.local/state}
  STATE=$(realpath -m "${STATE:-$home/rauthy-operator/cluster}")
  case $STATE/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/* | /proc/* | /sys/* | /dev/*)
      die "STATE=$STATE: the nodes have /run, /var/lib and /var/log of their own; choose another folder" ;;
    *[\ \"\'\\,:{}\#]*) die "STATE=$STATE: choose a folder without blanks and signs in its name" ;;
  esac
  # The path of a Unix socket has 107 bytes at most.
  [ ${#STATE} -le 80 ] || die "STATE=$STATE is too long a path; at most 80 bytes"
  export STATE
}

# What tells a process from a later one with the same pid: its start, and the
# boot. Nothing for one that is dead, be it reaped or not.
birth() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # After the name in brackets: state, ..., start as the 20th field.
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  case $1 in [ZXx]) ;; *) echo "${20} $(cat /proc/sys/kernel/random/boot_id)" ;; esac
}

# The file "init" holds the pids of unshare and of its child, the cluster's first
# process, and the birth of both.
alive() {
  local outer init was
  [ -s "$STATE/init" ] || return 1
  { read -r outer init && was=$(cat); } <"$STATE/init"
  [ "$(wc -l <"$STATE/init")" = 3 ] || return 1
  [ "$was" = "$(birth "$outer" && birth "$init")" ] || return 1
  # shellcheck disable=SC2034
  OUTER=$outer INIT=$init
}

need_up() {
  alive || die "the cluster is not up ($STATE); run: $HERE/cluster up"
  # shellcheck source=/dev/null
  . "$STATE/env" # NODES and BIN
}

# Everything of the hub but its cgroup.
inside_all() { nsenter -t "$INIT" -m -n -p -u -i -- "$@"; }

kube() { # kubectl for this script's own questions, in a network that has no names
  KUBECONFIG=$STATE/pki/admin.conf KUBECACHEDIR=$STATE/kubecache \
    nsenter --net="/proc/$INIT/ns/net" -- "$BIN/cli/kubectl" --request-timeout="$((5 * ${PATIENCE:-1}))s" "$@"
}

# One change at a time. The lock is on the folder itself, which leaves no file; a
# `down` that we waited for has removed it, so look whether it is still the same.
lock() {
  while :; do
    mkdir -p "$STATE"
    exec 8<"$STATE"
    flock -n 8 || { say "another command is at work on $STATE, waiting" && flock 8; }
    [ "$(stat -Lc %i /proc/self/fd/8)" != "$(stat -c %i "$STATE" 2>/dev/null)" ] || return 0
  done
}

# Nothing that outlives this command may hold what its caller gave it: a pipe
# that is kept open, or a lock.
close_files() {
  local f
  exec </dev/null
  for f in "/proc/$BASHPID/fd"/*; do
    f=${f##*/}
    if [ "$f" -gt 2 ] && [ "$f" != 255 ]; then eval "exec $f>&-"; fi
  done
}

down() {
  if [ ! -d "$STATE" ]; then
    say "not up"
    return
  fi
  lock
  if [ ! -e "$STATE/.cluster" ]; then
    rmdir "$STATE" 2>/dev/null || die "$STATE is not the folder of a cluster; nothing is removed"
    say "not up"
    return
  fi
  tear_down
  say "down, nothing left"
}

tear_down() {
  local n
  end_processes
  # A cgroup can be removed when the kernel has let go of its last task.
  for n in $(seq 200); do
    remove_cgroups && break
    [ "$n" != 200 ] || say "some cgroups are left: $(tr '\n' ' ' <"$STATE/cgroups")"
    sleep 0.05
  done
  # The mark goes last: an interrupted removal can be taken up again.
  find "$STATE" -mindepth 1 -maxdepth 1 ! -name .cluster -exec rm -rf --one-file-system {} +
  rm -rf --one-file-system "$STATE"
  rmdir "$(dirname "$STATE")" 2>/dev/null || true
}

end_processes() {
  local n
  alive || return 0
  kill -KILL "$INIT" 2>/dev/null || true
  for n in $(seq 400); do
    alive || return 0
    # unshare ends when the kernel has ended all of the pid namespace.
    [ "$n" != 200 ] || kill -KILL "$OUTER" 2>/dev/null || true
    sleep 0.05
  done
  die "the processes below $OUTER do not end"
}
