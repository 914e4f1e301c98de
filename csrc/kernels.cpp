// Every kernel that profits from wide vectors. Compiled once for each instruction set, with VARIANT naming the table.
#include "color_maps.h"
#include "colors.h"
#include "counters.h"
#include "grays_and_levels.h"
#include "kernels.h"
#include "tables.h"

namespace sx {
extern const Kernels VARIANT;
const Kernels VARIANT = {
    VARIANT_NAME,  morton,        nonzero,       collect,      decode,        density, mixture, stains,        lab,
    hsv,           curves,        network,      lut3d,         lut4d,        gray_lut,      lab_of_levels,    level_moments, level_angles,
    level_amounts, between,       moments,      lasso_moments, lasso,   to_levels, gray,
};
}  // namespace sx
