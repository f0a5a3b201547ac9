"""A model's layers as a graph, taken while they are run."""

from __future__ import annotations

from math import prod
from typing import Any, Callable, List, Set, Tuple

from wandb.data_types.graph import Graph

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")  # their parts are layers, and not they


class TorchGraph(Graph):
    """The layers of a PyTorch model, in the order in which they ran first.

    As wandb 0.31 makes it, but that ids are the layers' numbers, and not where they lie in memory: the same
    model makes the same file.
    """

    def __init__(self, criterion: Any = None) -> None:
        super().__init__("torch")
        self.criterion = criterion
        self._outstanding: Set[int] = set()

    def follow(self, model: Any, is_complete: Callable[[], None]) -> List[Tuple[Any, Callable[..., None]]]:
        """Return which modules are to be hooked with what, for the graph to fill when the model runs.

        Args:
            is_complete: Called once, when each layer has run, or the model has without some of them.
        """
        hooks: List[Tuple[Any, Callable[..., None]]] = []
        told: List[bool] = []

        def tell() -> None:
            self._outstanding.clear()
            if not told and self.nodes:
                told.append(True)
                is_complete()

        def after_layer(name: str) -> Callable[..., None]:
            def add(layer: Any, output: Any) -> None:
                if id(layer) in self._outstanding:
                    self._outstanding.discard(id(layer))
                    self._add_layer(layer, name, output)
                    if not self._outstanding:
                        tell()

            return add

        for name, layer in _layers(model):
            self._outstanding.add(id(layer))
            hooks.append((layer, after_layer(name)))
        hooks.append((model, lambda module, output: tell()))
        return hooks

    def _add_layer(self, layer: Any, name: str, output: Any) -> None:
        parameters = [(name, list(parameter.size())) for name, parameter in layer.named_parameters()]
        self.add_node(
            id=len(self.nodes),
            name=name,
            class_name=str(layer),
            output_shape=_shapes(output if isinstance(output, tuple) else (output,)),
            parameters=parameters,
            num_parameters=[prod(size) for _, size in parameters],
        )


def _layers(model: Any, prefix: str = "") -> List[Tuple[str, Any]]:
    """Return the model's direct parts by name, and in place of containers theirs."""
    from torch import nn

    containers = tuple(getattr(nn, name) for name in CONTAINERS)
    found = []
    for name, part in model.named_children():
        if isinstance(part, containers):
            found += _layers(part, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", part))
    return found


def _shapes(output: Any) -> Any:
    """Return the shapes of tensors in tuples, lists and dicts, nested as they are."""
    if hasattr(output, "shape"):
        return list(output.shape)
    if isinstance(output, dict):
        return [_shapes(item) for item in output.values()]
    if isinstance(output, (tuple, list)):
        return [_shapes(item) for item in output]
    return []
