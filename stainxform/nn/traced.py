"""Functions of color as graphs of torch operations, taken from their one definition on planes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from stainxform._torch import learning
from stainxform.maps import ColorMap

__all__ = ["MapColors", "traced"]

_aten = torch.ops.aten


def traced(function: Callable[[Tensor], Tensor]) -> GraphModule:
    """A module that computes a function of float32 planes ``(3, P)``, for any P, by torch operations alone.

    Numbers of the function become constants, its arrays float buffers. Bit-equal to calling it on a CPU tensor, and
    differentiable like it.
    """
    with learning():
        example = torch.linspace(0, 1, 21).reshape(3, 7)
        graph = make_fx(lambda planes: function(planes), tracing_mode="symbolic")(example)
    _tidy(graph)
    for node in graph.graph.nodes:
        node.meta.clear()  # example values, source lines
    return GraphModule(graph, graph.graph)


def _tidy(graph: GraphModule) -> None:
    """Hold arrays as buffers of the dtype in which they are used, on no device in particular."""
    for node in list(graph.graph.nodes):
        if node.target is _aten.lift_fresh_copy.default:
            node.replace_all_uses_with(node.args[0])
        elif node.target is _aten._to_copy.default and node.args[0].op == "get_attr":
            array = getattr(graph, node.args[0].target)
            name = f"{node.args[0].target}_{len(list(graph.buffers()))}"
            graph.register_buffer(name, array.to(node.kwargs.get("dtype") or array.dtype))
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(name))
        elif node.target is _aten.clamp.default and node.meta["val"].is_floating_point():
            # The ONNX exporter cannot promote an integer bound beside a float one.
            tensor, *bounds = node.args
            node.args = (tensor, *(float(bound) if isinstance(bound, int) else bound for bound in bounds))
        elif "device" in node.kwargs:  # that of the example
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != "device"}
    graph.graph.eliminate_dead_code()
    graph.recompile()


class MapColors(nn.Module):
    """A color map on unit images.

    The state holds the arrays of the map and a fingerprint of all of it; its single numbers are constants of the graph,
    so a state is only loaded into a module that was made of the same map.
    """

    fingerprint: Tensor

    @learning()
    def __init__(self, color_map: ColorMap):
        super().__init__()
        self._map = color_map
        self.graph = traced(color_map.evaluate)
        self.register_buffer("fingerprint", torch.tensor(list(_digest(color_map)), dtype=torch.uint8))

    def forward(self, unit: Tensor) -> Tensor:
        """Map RGB ``(N, 3, H, W)``, float32 in [0, 1], to colors of the same shape, unclipped."""
        planes = unit.movedim(1, 0)
        return cast(Tensor, self.graph(planes.flatten(1))).reshape(planes.shape).movedim(0, 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        found = state_dict.get(f"{prefix}fingerprint")
        if found is not None and not torch.equal(found.cpu(), self.fingerprint.cpu()):
            rest[-1].append("this state is that of another color map; make the module from that map first")
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the map: graphs of operators cannot be pickled."""
        return _restore, (self._map, str(self.fingerprint.device))


def _restore(color_map: ColorMap, device: str) -> MapColors:
    return MapColors(color_map).to(device)


def _digest(color_map: ColorMap) -> bytes:
    """SHA-256 of the kind and the numbers of a map."""
    sha = hashlib.sha256()

    def feed(value: Any) -> None:
        if is_dataclass(value):
            sha.update(f"{type(value).__qualname__};".encode())
            for field in fields(value):
                feed(getattr(value, field.name))
        elif isinstance(value, np.ndarray):
            sha.update(f"{value.dtype.str}{value.shape};".encode() + np.ascontiguousarray(value).tobytes())
        elif isinstance(value, tuple | list):
            for item in value:
                feed(item)
        else:
            sha.update(f"{value!r};".encode())

    feed(color_map)
    return sha.digest()
