// The assembler takes the files in as bytes: the library is one file wherever it goes.
#include "gpu/source.h"

asm(R"(
  .section .rodata
  .global espalier_source, espalier_source_end, espalier_ptx, espalier_ptx_end
  .hidden espalier_source, espalier_source_end, espalier_ptx, espalier_ptx_end
espalier_source:
  .incbin "gpu/common.cu"
  .incbin "gpu/activation.cu"
  .incbin "gpu/norm.cu"
  .incbin "gpu/softmax.cu"
  .incbin "gpu/heads.cu"
  .incbin "gpu/varlen_attention.cu"
  .incbin "gpu/refit.cu"
  .incbin "gpu/squares.cu"
  .incbin "gpu/system.cu"
espalier_source_end:
  .byte 0
espalier_ptx:
  .incbin "gpu/kernels.ptx.gz"
espalier_ptx_end:
  .byte 0
  .text
)");

extern "C" {
__attribute__((visibility("hidden"))) extern const char espalier_source[];
__attribute__((visibility("hidden"))) extern const char espalier_source_end[];
__attribute__((visibility("hidden"))) extern const char espalier_ptx[];
__attribute__((visibility("hidden"))) extern const char espalier_ptx_end[];
}

namespace espalier::gpu {
namespace {

std::string_view Between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

}  // namespace

std::string_view KernelSource() { return Between(espalier_source, espalier_source_end); }

std::string_view KernelPtx() { return Between(espalier_ptx, espalier_ptx_end); }

}  // namespace espalier::gpu
