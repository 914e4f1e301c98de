"""The operators on a CUDA device; skipped where there is none."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from kernel_cases import INPUTS, check_backward, check_forward, check_levels, lut3d_inputs, on  # noqa: E402
from strategies import laws  # noqa: E402

from stainxform.ops import backends, reference  # noqa: E402

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
operators = pytest.mark.parametrize("operator", INPUTS)


@pytest.fixture(scope="module")
def kernels():
    pytest.importorskip("triton")
    found = backends.kernels(torch.device("cuda"))
    assert found is not reference
    return found


@operators
def test_kernels_equal_the_reference(kernels, operator):
    @laws
    @given(inputs=INPUTS[operator]())
    def law(inputs):
        check_forward(kernels, reference, operator, inputs, "cuda")
        check_backward(kernels, reference, operator, inputs, "cuda")

    law()


@laws
@given(inputs=lut3d_inputs(color_dtypes=(torch.uint8,)))
def test_levels(kernels, inputs):
    check_levels(kernels, reference, inputs, "cuda")


@pytest.mark.parametrize("method", ["reinhard", "macenko", "khan"])
def test_a_slide_mapped_on_the_device_is_within_a_level(tmp_path, method):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    from pyramid_files import ArraySlide
    from slide_files import tissue

    import stainxform as sx
    from stainxform.slides import PyramidOptions, write_slide

    image_map, levels = sx.fit_center([tissue(200, 200)], method).map_for(tissue(150, 170)), []
    with ArraySlide(tissue(300, 280)) as slide:
        for device in (None, "cuda"):
            path = tmp_path / f"{device}.tif"
            write_slide(slide, path, image_map, PyramidOptions(tile=64, lossless=True), device=device)
            levels.append(tifffile.imread(path).astype(int))
    assert abs(levels[0] - levels[1]).max() <= 1


@operators
def test_torch_finds_nothing_wrong_with_the_operators(operator):
    from test_ops import differentiable, examples

    moved = on(dict(enumerate(examples()[operator])), "cuda")
    torch.library.opcheck(getattr(torch.ops.stainxform, operator), differentiable(tuple(moved.values())))


@operators
def test_gradients_are_the_true_derivatives(operator):
    from test_ops import differentiable, examples

    moved = differentiable(tuple(on(dict(enumerate(examples()[operator])), "cuda").values()))
    # Sums in no fixed order.
    assert torch.autograd.gradcheck(getattr(torch.ops.stainxform, operator), moved, nondet_tol=1e-12)


def test_deterministic_algorithms_are_served_by_the_reference():
    torch.use_deterministic_algorithms(True)
    try:
        assert backends.gradient_kernels(torch.device("cuda")) is reference
    finally:
        torch.use_deterministic_algorithms(False)
