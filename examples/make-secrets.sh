#!/bin/sh
# Makes what the agents of one cluster share, and a certificate for each:
#
#   examples/make-secrets.sh FOLDER HOST...     # host names or IP addresses, as they stand in HA_HOSTS
#
#   FOLDER/token        the shared secret                    every host
#   FOLDER/ca.pem       who signs the certificates           every host
#   FOLDER/ca.key       its key                              no host: keep it elsewhere
#   FOLDER/HOST.pem     certificate of one host and its key  that host
#   FOLDER/HOST.key
#
# What is there already stays; so a host can be added later, and a certificate is renewed by removing it first. The agents
# read changed files again by themselves. Where you have a certificate authority, use that one instead.
set -eu
[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
folder=$1
shift
umask 077
mkdir -p "$folder"
cd "$folder"

new_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

[ -e token ] || openssl rand -hex 24 >token
if [ ! -e ca.key ]; then
  new_key ca.key
  openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=rauthy cache' -out ca.pem \
    -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' -addext 'keyUsage=critical,keyCertSign,cRLSign'
fi
for host in "$@"; do
  if [ -e "$host.pem" ]; then continue; fi
  case $host in
    *:*) name=IP:$host ;;
    *[!0-9.]*) name=DNS:$host ;;
    *) name=IP:$host ;;
  esac
  new_key "$host.key"
  printf '%s\n' 'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
    'extendedKeyUsage=serverAuth,clientAuth' "subjectAltName=$name" >extensions
  openssl req -new -key "$host.key" -subj "/CN=$host" |
    openssl x509 -req -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days 365 \
      -extfile extensions -out "$host.pem" 2>/dev/null
  rm extensions
done
# The image runs as this user, and Docker shows it files with the owner that they have here.
if [ "$(id -u)" = 0 ]; then chown -R "${OWNER:-10001:10001}" .; fi
echo "made in $PWD"
