#!/bin/sh
# Writes checkpoint/onnx/generated, or the folder that is given, from ONNX's schema in protos/onnx; run in the
# repository's root after each change to it. A test compares.
set -eu
OUT=${1:-checkpoint/onnx/generated}
rm -rf "$OUT"
node_modules/.bin/proto-loader-gen-types onnx/onnx.proto -I protos/ \
  --longs=Number --enums=String --defaults --oneofs --grpcLib=@grpc/grpc-js \
  --targetFileExtension=.ts --importFileExtension=.ts --outDir="$OUT"
# The part that is for gRPC; ONNX has no services.
rm "$OUT/onnx.ts"
