#!/bin/sh
# Certificates for the nodes of deploy/kafka/compose.yaml, signed by an authority made here.
#
#   sh certificates.sh FOLDER [NAME OF EACH NODE AS CLIENTS CALL IT …]
#
# FOLDER/ca.pem is what clients are given (ssl.ca.location); FOLDER/kafka-N/ is what node N is given; keep
# FOLDER/ca.key apart. Run again to renew the nodes' certificates under the same authority.
set -eu
folder=${1:?"the folder to write to"}
shift
mkdir -p "$folder"
cd "$folder"
umask 077
if [ ! -f ca.key ]; then
  openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=tsuzuri-kafka-authority -keyout ca.key -out ca.pem 2>/dev/null
fi
for number in 1 2 3; do
  names="DNS:kafka-$number,DNS:localhost,IP:127.0.0.1"
  if [ $# -gt 0 ]; then
    names="$names,DNS:$1"
    shift
  fi
  mkdir -p "kafka-$number"
  openssl req -newkey rsa:3072 -nodes -subj /CN=tsuzuri-kafka -keyout node.key -out node.csr 2>/dev/null
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" > node.ext
  openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile node.ext -out node.crt 2>/dev/null
  cat node.key node.crt ca.pem > "kafka-$number/node.pem"
  cp ca.pem "kafka-$number/ca.pem"
  rm node.key node.csr node.ext node.crt
  # Keys are for nobody but the node, which runs as user 1000 in its container.
  chown -R 1000 "kafka-$number" 2>/dev/null || {
    echo "kafka-$number has to belong to user 1000: run this as root, or  sudo chown -R 1000 $PWD/kafka-$number" >&2
    exit 1
  }
done
