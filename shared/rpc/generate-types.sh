#!/bin/sh
# Writes shared/rpc/generated, or the folder that is given, from the .proto files; run in the repository's root after each
# change to them. A test compares.
set -eu
OUT=${1:-shared/rpc/generated}
rm -rf "$OUT"
node_modules/.bin/proto-loader-gen-types espalier/v1/worker.proto espalier/v1/blobs.proto espalier/v1/jobs.proto -I protos/ \
  --longs=Number --enums=String --defaults --oneofs --grpcLib=@grpc/grpc-js \
  --targetFileExtension=.ts --importFileExtension=.ts --outDir="$OUT"
