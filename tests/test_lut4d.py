"""The 4D LUT op: the 16-corner definition, its gradients, and the exact collapse on the gray diagonal."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from stainxform.ops.lut4d import collapse_gray, identity_lut4d, lookup_gray, lut4d  # noqa: E402

SHAPES = st.tuples(st.integers(2, 5), st.integers(2, 9))  # context nodes, nodes per color axis


def random_lut(context_nodes: int, size: int, seed: int = 0, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, context_nodes, size, size, size, dtype=torch.float64, generator=generator)


def interpolate_plainly(lut: np.ndarray, c: float, r: float, g: float, b: float) -> np.ndarray:
    """Equations 3 and 4 of the paper, on its 0..255 scale, one point at a time."""
    size, context_nodes = lut.shape[-1], lut.shape[1]
    steps = (255 / (context_nodes - 1), *(255 / (size - 1),) * 3)
    nodes = (context_nodes, size, size, size)
    lower = [min(int(255 * v // s), n - 2) for v, s, n in zip((c, r, g, b), steps, nodes)]
    fraction = [255 * v / s - low for v, s, low in zip((c, r, g, b), steps, lower)]
    out = np.zeros(lut.shape[0])
    for corner in product((0, 1), repeat=4):
        weight = np.prod([f if up else 1 - f for f, up in zip(fraction, corner)])
        out += weight * lut[(slice(None), *(low + up for low, up in zip(lower, corner)))]
    return out


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=8), st.integers(0, 99))
def test_sixteen_corners_follow_the_equations(shape, points, seed):
    lut = random_lut(*shape, seed)
    c, *rgb = torch.tensor(points, dtype=torch.float64).T
    found = lut4d(lut, c, torch.stack(rgb)).numpy()
    expected = np.stack([interpolate_plainly(lut.numpy(), *point) for point in points], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_identity_lut_returns_its_coordinates():
    rgb = torch.rand(3, 50, dtype=torch.float64)
    lut = identity_lut4d(33, 2, torch.float64)
    torch.testing.assert_close(lut4d(lut, torch.rand(50, dtype=torch.float64), rgb), rgb)


def test_nodes_are_returned_exactly_and_coordinates_are_clamped():
    lut = random_lut(3, 4)
    c = torch.tensor([0.0, 0.5, 1.0, -3.0, 7.0], dtype=torch.float64)
    expected = lut[:, [0, 1, 2, 0, 2], 3, 0, 3]
    rgb = torch.tensor([[1.0] * 5, [0.0] * 5, [2.0] * 5], dtype=torch.float64)
    torch.testing.assert_close(lut4d(lut, c, rgb), expected)


def test_gradients_are_the_true_derivatives():
    lut = random_lut(3, 4).requires_grad_()
    # Inside the cells: at a node the function has a kink.
    c = torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64, requires_grad=True)
    rgb = (torch.rand(3, 3, dtype=torch.float64) * 0.2 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(lut4d, (lut, c, rgb))


def test_collapsed_lookup_has_true_gradients():
    table = torch.rand(3, 3, 256, dtype=torch.float64, requires_grad=True)
    gray = torch.tensor([[0, 7, 255]], dtype=torch.uint8)
    c = torch.tensor([[0.2, 0.6, 0.9]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t, x: lookup_gray(t, gray, x), (table, c))
    lut = random_lut(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: collapse_gray(x, 16), (lut,))


@settings(deadline=None, max_examples=25)
@given(SHAPES, st.integers(0, 99))
def test_collapsing_is_exact(shape, seed):
    lut = random_lut(*shape, seed)
    gray = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    context = torch.rand(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    unit = gray.double() / 255
    definition = lut4d(lut, context, unit.expand(3, 16, 16))
    torch.testing.assert_close(lookup_gray(collapse_gray(lut), gray, context), definition, atol=1e-13, rtol=0)
    # float32, as it is used: the reference file asks for 1e-5.
    single = lookup_gray(collapse_gray(lut.float()), gray, context.float())
    torch.testing.assert_close(single.double(), definition, atol=1e-5, rtol=0)


def test_only_the_nodes_around_the_diagonal_get_a_data_gradient():
    lut = random_lut(2, 33).requires_grad_()
    collapse_gray(lut).sum().backward()
    touched = (lut.grad[0, 0] != 0).sum()
    assert touched == 225  # 33 on the diagonal, 6 more corners in each of 32 cells


def test_training_works_after_inference_on_luts_of_the_same_size():
    lut = random_lut(2, 12)
    with torch.inference_mode():
        expected = collapse_gray(lut)
    trained = lut.clone().requires_grad_()
    collapse_gray(trained).sum().backward()
    assert torch.equal(collapse_gray(trained).detach(), expected)
    assert trained.grad.sum() > 0
