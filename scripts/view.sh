# The live view of the members while a cluster starts.
# shellcheck shell=bash

# One line for the cluster, one for each member.
# shellcheck disable=SC2016 # a template's own variable
VIEW='{{$none := "-"}}{{with .status}}{{range .conditions}}{{if eq .type "Available"}}Available={{.status}} {{.reason}}{{"\n"}}{{end}}{{end -}}
leader={{or .leader $none}} ready={{or .readyReplicas 0}}{{"\n"}}{{range .members}}  {{.slot}} {{or .role $none}}{{if .caughtUp}} caught-up{{end}}{{"\n"}}{{end}}{{end}}'

draw() { # TEXT; writes over what it drew last on a terminal
  local lines
  if [ -t 2 ]; then
    [ "${DRAWN:-0}" = 0 ] || printf '\033[%dA\033[J' "$DRAWN" >&2
    lines=$(printf '%s\n' "$1" | wc -l)
    DRAWN=$((lines + 1))
    printf '[%s %4ds]\n%s\n' "$NAME" "$SECONDS" "$1" >&2
  elif [ "$1" != "${LAST:-}" ]; then
    LAST=$1
    say "$(printf '%s' "$1" | tr -s ' \n' ' ')"
  fi
}

# watch_members SECONDS: until all members are there and the cluster is Available.
watch_members() {
  local end=$((SECONDS + $1)) text pods
  while [ $SECONDS -lt $end ]; do
    text=$(kube -n "$NAMESPACE" get rauthycluster "$DEMO" -o "go-template=$VIEW" 2>/dev/null) || text=''
    pods=$(kube -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$DEMO" --no-headers 2>/dev/null | awk '{ print "  " $1, $2, $3 }') || pods=''
    draw "${text:-waiting for the operator}
$pods"
    case $text in *Available=True*ready=3*) return 0 ;; esac
    sleep 0.5
  done
  return 1
}
