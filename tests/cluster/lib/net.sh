# The cluster's addresses. They are the same in each cluster, and live in network
# namespaces of its own. 198.18.0.0/15 is set apart for tests (RFC 2544).
# shellcheck shell=bash disable=SC2034 # for the scripts that read this

MAX_NODES=9
HUB_IP=198.18.0.1
SERVICE_NET=198.19.0.0/16
API_SERVICE_IP=198.19.0.1
POD_NET=198.18.64.0/18

node_ip() { echo "198.18.0.$((10 + $1))"; }
pod_net() { echo "198.18.$((64 + $1)).0/24"; }

# Routes from here to the pods of all nodes but node $1.
route_pods() {
  local n
  for n in $(seq $MAX_NODES); do
    [ "$n" = "${1:-}" ] || ip route add "$(pod_net "$n")" via "$(node_ip "$n")"
  done
}
