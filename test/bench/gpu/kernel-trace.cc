// Records every kernel and copy of a process on an NVIDIA GPU through CUPTI, without waiting for any. CUDA loads this library
// into a process where CUDA_INJECTION64_PATH names it; kernel-trace.ts compiles it and reads what it writes to the folder
// ESPALIER_KERNEL_TRACE, a file a process: "clock NS SECONDS" pairs CUPTI's clock with the time of day, "name ID TEXT", and
// "ran ID START_NS LENGTH_NS" for each.
#include <cupti.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <unordered_map>

namespace {

constexpr size_t kBufferBytes = 4 << 20;
constexpr uint32_t kFlushMilliseconds = 200;

FILE* output = nullptr;
std::mutex guard;
std::unordered_map<std::string, int> names;

void Write(const char* name, uint64_t start, uint64_t end) {
  const auto [found, is_new] = names.emplace(name, static_cast<int>(names.size()));
  if (is_new) std::fprintf(output, "name %d %s\n", found->second, name);
  std::fprintf(output, "ran %d %llu %llu\n", found->second, static_cast<unsigned long long>(start),
               static_cast<unsigned long long>(end - start));
}

void CUPTIAPI Request(uint8_t** buffer, size_t* size, size_t* records) {
  *size = kBufferBytes;
  *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, kBufferBytes));
  *records = 0;
}

void CUPTIAPI Complete(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
  const std::lock_guard<std::mutex> lock(guard);
  CUpti_Activity* record = nullptr;
  while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
      const auto* kernel = reinterpret_cast<KERNEL_RECORD*>(record);
      Write(kernel->name, kernel->start, kernel->end);
    } else if (record->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
      const auto* copy = reinterpret_cast<COPY_RECORD*>(record);
      const char* const kind = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD   ? "(copy to the device)"
                               : copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH ? "(copy to the host)"
                                                                                   : "(copy)";
      Write(kind, copy->start, copy->end);
    }
  }
  std::fflush(output);
  std::free(buffer);
}

void Flush() { cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED); }

}  // namespace

extern "C" int InitializeInjection() {
  const char* const folder = std::getenv("ESPALIER_KERNEL_TRACE");
  if (folder == nullptr) return 0;
  output = std::fopen((std::string(folder) + "/" + std::to_string(getpid())).c_str(), "w");
  if (output == nullptr) return 0;
  uint64_t clock = 0;
  cuptiGetTimestamp(&clock);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::fprintf(output, "clock %llu %lld.%09ld\n", static_cast<unsigned long long>(clock),
               static_cast<long long>(now.tv_sec), now.tv_nsec);
  cuptiActivityRegisterCallbacks(Request, Complete);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
  cuptiActivityFlushPeriod(kFlushMilliseconds);
  std::atexit(Flush);
  return 1;
}
