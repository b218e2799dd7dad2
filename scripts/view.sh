# The live view of the members while a cluster starts.
# shellcheck shell=bash

# A line for the cluster, one for each member.
# shellcheck disable=SC2016 # a template's own variables
VIEW='{{with .status}}{{range .conditions}}{{if eq .type "Available"}}{{if eq .status "True"}}Available{{else}}not Available yet{{with .message}}: {{.}}{{end}}{{end}}{{end}}{{end}}{{with .ready}}, {{.}} ready{{end}}{{with .leader}}, {{.}} leads{{end}}{{"\n"}}{{range .members}}  {{.pod}}  {{.role}}{{if .caughtUp}}, has everything{{end}}{{if not .ready}}{{with .message}} ({{.}}){{end}}{{end}}{{"\n"}}{{end}}{{end}}'

draw() { # TEXT; writes over what it drew last on a terminal
  if [ -t 2 ]; then
    [ "${DRAWN:-0}" = 0 ] || printf '\033[%dA\033[J' "$DRAWN" >&2
    DRAWN=$(($(printf '%s\n' "$1" | wc -l) + 1))
    printf '[%s %4ds]\n%s\n' "$NAME" "$SECONDS" "$1" | cut -c1-"$(tput cols 2>/dev/null || echo 80)" >&2
  elif [ "$1" != "${LAST:-}" ]; then
    LAST=$1
    say "$(printf '%s' "$1" | tr '\n' ';' | tr -s ' ')"
  fi
}

# watch_members SECONDS: until all members are there and the cluster is Available.
watch_members() {
  local end=$((SECONDS + $1)) text
  while [ $SECONDS -lt $end ]; do
    text=$(kube -n "$NAMESPACE" get rauthycluster "$DEMO" -o "go-template=$VIEW" 2>/dev/null) || text=''
    draw "${text:-waiting for the operator}"
    case $text in Available,\ 3/3\ ready,*\ leads*) return 0 ;; esac
    sleep 0.5
  done
  return 1
}
