#pragma once
#include <string_view>

namespace espalier::gpu {

// The kernels in CUDA C++: all .cu files of this folder, one after the other.
std::string_view KernelSource();

// The kernels as PTX for compute capability 8.0 and above, compressed by gzip: for where nothing can compile the source.
std::string_view KernelPtx();

}  // namespace espalier::gpu
