// Every kernel that profits from wide vectors. Compiled once for each instruction set, with VARIANT naming the table.
#include "color_maps.h"
#include "colors.h"
#include "counters.h"
#include "grays_and_levels.h"
#include "kernels.h"
#include "tables.h"
#include "tissue_maps.h"

namespace sx {
extern const Kernels VARIANT;

#define SX_NAME(name, ...) name,
const Kernels VARIANT = {SX_MAPS(SX_NAME) SX_KERNELS(SX_NAME)};
#undef SX_NAME
}  // namespace sx
