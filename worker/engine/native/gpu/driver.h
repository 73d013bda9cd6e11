// NVIDIA's driver, opened when the first kernel is launched: the library has no dependency on CUDA, and runs where there is no
// GPU. Kernels come as an image, a cubin or PTX, that JavaScript hands over before.
#pragma once
#include <string>

#include "absl/status/status.h"

namespace tensorflow {
class OpKernelContext;
}

namespace espalier::gpu {

struct Blocks {
  int64_t x;
  int64_t y = 1;
};

struct Threads {
  unsigned x;
  unsigned y = 1;
};

// The image that kernels are taken from, in contexts of CUDA that have loaded none yet.
void SetImage(std::string image);

// Major version * 10 + minor version of the first GPU's compute capability. Returns what is wrong, or an empty string.
std::string ComputeCapability(int* capability);

// Launches a kernel of the image on the operation's stream. @param shared_bytes of shared memory, beside what it declares.
absl::Status LaunchKernel(tensorflow::OpKernelContext* context, const std::string& name, Blocks blocks, Threads threads,
                          unsigned shared_bytes, void** arguments);

template <class... Arguments>
absl::Status LaunchShared(tensorflow::OpKernelContext* context, const std::string& name, Blocks blocks, Threads threads,
                          unsigned shared_bytes, Arguments... arguments) {
  if (blocks.x == 0 || blocks.y == 0) return absl::OkStatus();
  void* pointers[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  return LaunchKernel(context, name, blocks, threads, shared_bytes, pointers);
}

template <class... Arguments>
absl::Status Launch(tensorflow::OpKernelContext* context, const std::string& name, Blocks blocks, Threads threads,
                    Arguments... arguments) {
  return LaunchShared(context, name, blocks, threads, 0, arguments...);
}

}  // namespace espalier::gpu
