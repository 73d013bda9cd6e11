#!/bin/sh
# Writes shared/rpc/generated from the .proto files; run in the repository's root after each change to them.
set -eu
rm -rf shared/rpc/generated
npx proto-loader-gen-types espalier/v1/worker.proto espalier/v1/blobs.proto espalier/v1/jobs.proto -I protos/ \
  --longs=Number --enums=String --defaults --oneofs --grpcLib=@grpc/grpc-js \
  --targetFileExtension=.ts --importFileExtension=.ts --outDir=shared/rpc/generated
