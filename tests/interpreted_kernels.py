"""The Triton kernels against the reference, in Triton's interpreter: ``test_triton_kernels.py`` runs this file in a
process of its own, because TRITON_INTERPRET holds for a whole process.
"""

import math
import os

import pytest
import torch
from hypothesis import given
from kernel_cases import INPUTS, check_backward, check_forward, check_levels, lut3d_inputs
from strategies import laws

assert os.environ.get("TRITON_INTERPRET") == "1", "run test_triton_kernels.py"

from stainxform.ops import reference, triton_kernels  # noqa: E402

operators = pytest.mark.parametrize("operator", INPUTS)


@operators
def test_forward(operator):
    @laws
    @given(inputs=INPUTS[operator]())
    def law(inputs):
        check_forward(triton_kernels, reference, operator, inputs)

    law()


@operators
def test_backward(operator):
    @laws
    @given(inputs=INPUTS[operator]())
    def law(inputs):
        check_backward(triton_kernels, reference, operator, inputs)

    law()


@laws
@given(inputs=lut3d_inputs(color_dtypes=(torch.uint8,)))
def test_levels(inputs):
    check_levels(triton_kernels, reference, inputs)


def test_levels_at_ties_are_rounded_to_even():
    lut = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    lut[:] = (torch.arange(8, dtype=torch.float64).reshape(2, 2, 2) + 0.5) / 255
    corners = torch.cartesian_prod(*[torch.tensor([0, 255], dtype=torch.uint8)] * 3).T
    for module in (triton_kernels, reference):
        assert module.lut3d(lut, corners, "trilinear").tolist() == [[0, 2, 2, 4, 4, 6, 6, 8]]


@pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
def test_nan_stays_nan_and_harms_no_other_pixel(interpolation):
    lut, rgb = torch.rand(3, 3, 3, 3), torch.rand(3, 8)
    rgb[torch.arange(3), torch.arange(3)] = math.nan
    for module in (triton_kernels, reference):
        found = module.lut3d(lut, rgb, interpolation)
        assert found[:, :3].isnan().all()
        torch.testing.assert_close(found[:, 3:], reference.lut3d(lut, rgb[:, 3:], interpolation))
        found = module.lut4d(torch.rand(3, 2, 3, 3, 3), rgb[0], torch.rand(3, 8))
        assert (found.isnan() == rgb[0].isnan()).all()
        found = module.lookup_gray(torch.rand(3, 2, 256), torch.zeros(8, dtype=torch.uint8), rgb[0])
        assert (found.isnan() == rgb[0].isnan()).all()
