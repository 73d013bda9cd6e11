// Tensors that come to the host while whoever asked for them goes on.
#pragma once

#include <node_api.h>

namespace espalier {

// Adds to what the module exports:
// - beginDownload(tensor: number): () => Float32Array. The function waits for the numbers and gives them, once; it throws as
//   tensorDataSync does. The tensor may be released meanwhile.
void ExportDownloads(napi_env env, napi_value exports);

}  // namespace espalier
