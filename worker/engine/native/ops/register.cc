#include "ops/register.h"

#include "ops/activation_ops.h"
#include "ops/attention_ops.h"
#include "ops/head_ops.h"
#include "ops/norm_ops.h"
#include "ops/refit_ops.h"
#include "ops/softmax_ops.h"
#include "ops/squares_ops.h"
#include "ops/system_ops.h"
#include "ops/varlen_attention_ops.h"

namespace espalier {

std::string RegisterOps() {
  // A thread of Node that loads the library again finds it done.
  static const std::string problem = [] {
    const tensorflow::OpDef* found = nullptr;
    if (tensorflow::OpRegistry::Global()->LookUpOpDef("EspalierNorm", &found).ok())
      return std::string("another copy of this library has registered its operations in this process");
    RegisterActivationOps();
    RegisterNormOps();
    RegisterSoftmaxOps();
    RegisterHeadOps();
    RegisterAttentionOps();
    RegisterVarlenAttentionOps();
    RegisterRefitOps();
    RegisterSquaresOps();
    RegisterSystemOps();
    return std::string();
  }();
  return problem;
}

}  // namespace espalier
