// Directions in the order of their angle, without an arctangent.
#pragma once
#include <cmath>

// y / (|x| + |y|), unrolled over the quadrants from -2 to 2: as atan2, minus zero is below the branch cut.
static inline double order_of(double x, double y) {
    const double length = std::fabs(x) + std::fabs(y), p = y / (length > 0 ? length : 1.0);
    const double turned = std::copysign(2.0, y) - p;
    return std::signbit(x) ? turned : p;
}

static inline double angle_of(double order) {
    const double x = 1.0 - std::fabs(order);
    return std::fabs(order) <= 1.0 ? std::atan2(order, x) : std::atan2(order > 0 ? 2.0 - order : -(2.0 + order), x);
}
