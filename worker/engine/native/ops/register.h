#pragma once
#include <string>

namespace espalier {

// Registers all operations with the TensorFlow of this process, once. Returns what is wrong, or an empty string: another copy
// of this library may have done it before, under which ours would be ambiguous.
std::string RegisterOps();

}  // namespace espalier
