#!/bin/sh
# Runs a command of a build that fetches packages; where the build was given a secret `ca`, npm and pip trust those authorities.
#
# usage: sh with-authorities.sh COMMAND [ARGUMENT ...]
set -eu
if [ -f /run/secrets/ca ]; then
  export NODE_EXTRA_CA_CERTS=/run/secrets/ca PIP_CERT=/run/secrets/ca
fi
exec "$@"
