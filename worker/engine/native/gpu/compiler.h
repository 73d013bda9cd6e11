// NVRTC, NVIDIA's compiler as a library, opened when it is asked for.
#pragma once
#include <string>

namespace espalier::gpu {

// Compiles the kernels for an architecture: sm_90 gives a cubin, compute_80 PTX. Returns what is wrong, or an empty string.
std::string CompileKernels(const std::string& architecture, std::string* image);

}  // namespace espalier::gpu
