"""`wandb.Graph`: the layers of a model, and how they hang together."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, Union

from wandb.data_types.media import Content, Media, compact_json
from wandb.errors import ValidationError
from wandb.interface.values import kind_name, plain


class Node:
    """A layer of a model.

    Attributes:
        id: Tells it from the others; any number or text.
        name, class_name: What it is called, and what it is.
        size, output_shape: Numbers of elements, per dimension.
        parameters: Pairs of a name and a shape.
        num_parameters: How many numbers are learned.
        is_output: Whether it is at an end.
    """

    def __init__(
        self,
        id: Any = None,
        name: Optional[str] = None,
        class_name: Optional[str] = None,
        size: Any = None,
        parameters: Any = None,
        output_shape: Any = None,
        is_output: Optional[bool] = None,
        num_parameters: Optional[int] = None,
        node: Optional[Node] = None,
    ) -> None:
        self.id = id
        self.name = name
        self.class_name = class_name
        self.size = size
        self.parameters = parameters
        self.output_shape = output_shape
        self.is_output = is_output
        self.num_parameters = num_parameters
        if node is not None:
            for field, value in vars(node).items():
                if getattr(self, field) is None:
                    setattr(self, field, value)

    @classmethod
    def from_keras(cls, layer: Any) -> Node:
        """Return a layer of a Keras model as a node."""
        shape = getattr(layer, "output_shape", None) or getattr(getattr(layer, "output", None), "shape", None)
        return cls(
            id=layer.name,
            name=layer.name,
            class_name=type(layer).__name__,
            output_shape=None if shape is None else list(shape),
            num_parameters=layer.count_params() if getattr(layer, "built", True) else None,
        )

    def to_json(self, run: Any = None) -> Dict[str, Any]:
        """Return what the graph's file says of it."""
        names = (
            "name",
            "id",
            "class_name",
            "size",
            "parameters",
            "output_shape",
            "is_output",
            "num_parameters",
        )
        return {
            name: plain(getattr(self, name), f"wandb.Graph: {name}")
            for name in names
            if getattr(self, name) is not None
        }

    def __repr__(self) -> str:
        return f"<wandb Node {self.name or self.id}: {self.class_name}>"


class Edge:
    """A way that values take from one node to another."""

    def __init__(self, from_node: Node, to_node: Node) -> None:
        self.from_node = from_node
        self.to_node = to_node

    def to_json(self, run: Any = None) -> List[Any]:
        """Return what the graph's file says of it: the two ids."""
        return [plain(node.id, "wandb.Graph: edge") for node in (self.from_node, self.to_node)]


class Graph(Media):
    """The layers of a model, and how they hang together.

        graph = wandb.Graph()
        first, second = graph.add_node(id=1, name="in"), graph.add_node(id=2, name="out")
        graph.add_edge(first, second)
        run.log({"model": graph})

    Args:
        format: What the model is made with; "keras" or "torch".

    Attributes:
        nodes: The nodes, in order.
        nodes_by_id: The same by their ids.
        edges: The edges, in order.
    """

    _folder = "graph"
    _kind = "graph-file"

    def __init__(self, format: str = "keras") -> None:
        self.format = format
        self.nodes: List[Node] = []
        self.nodes_by_id: Dict[Any, Node] = {}
        self.edges: List[Edge] = []

    def add_node(self, node: Union[Node, None] = None, **node_kwargs: Any) -> Node:
        """Add a node, or one that `Node(**node_kwargs)` makes, and return it."""
        if node is None:
            node = Node(**node_kwargs)
        elif node_kwargs:
            raise ValidationError("wandb.Graph.add_node", "takes a node, or what one is made of; not both")
        elif not isinstance(node, Node):
            raise ValidationError("wandb.Graph.add_node", f"{kind_name(node)} is no Node")
        self.nodes.append(node)
        self.nodes_by_id[node.id] = node
        return node

    def add_edge(self, from_node: Node, to_node: Node) -> Edge:
        """Add an edge and return it."""
        for node in (from_node, to_node):
            if not isinstance(node, Node):
                raise ValidationError("wandb.Graph.add_edge", f"{kind_name(node)} is no Node")
        edge = Edge(from_node, to_node)
        self.edges.append(edge)
        return edge

    @classmethod
    def from_keras(cls, model: Any) -> Graph:
        """Return the layers of a Keras model as a graph."""
        if not hasattr(model, "layers"):
            raise ValidationError("wandb.Graph.from_keras", f"{kind_name(model)} is no model of Keras")
        graph = cls("keras")
        for layer in model.layers:
            graph.add_node(Node.from_keras(layer))
        for start, end in _keras_links(model):
            if start in graph.nodes_by_id and end in graph.nodes_by_id:
                graph.add_edge(graph.nodes_by_id[start], graph.nodes_by_id[end])
        return graph

    def pprint(self) -> None:
        """Print the edges and the nodes."""
        for edge in self.edges:
            print(f"{edge.from_node.name} -> {edge.to_node.name}")
        for node in self.nodes:
            print(node)

    def __getitem__(self, id: Any) -> Node:
        return self.nodes_by_id[id]

    def _content(self) -> Content:
        tree = {
            "format": self.format,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
        }
        return Content(compact_json(tree), ".graph.json")


def _keras_links(model: Any) -> List[Tuple[str, str]]:
    """Return from which layer to which values go, by name."""
    names = [layer.name for layer in model.layers]
    if type(model).__name__ == "Sequential":
        return list(zip(names, names[1:]))
    links = []
    for layer in model.layers:
        for node in getattr(layer, "_inbound_nodes", ()):
            parents = getattr(node, "parent_nodes", None)
            for parent in parents or ():
                above = getattr(parent, "operation", None) or getattr(parent, "layer", None)
                if above is not None:
                    links.append((above.name, layer.name))
    return links
