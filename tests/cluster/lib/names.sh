#!/usr/bin/env bash
# Runs CMD with the cluster's names: in a mount namespace of its own, the
# resolver's files are replaced. Part of `cluster run`.
set -euo pipefail
dir=$(dirname "$0")
for f in resolv.conf nsswitch.conf; do
  if [ -e "/etc/$f" ]; then mount -n --bind "$dir/$f" "$(readlink -f "/etc/$f")"; fi
done
exec "$@"
