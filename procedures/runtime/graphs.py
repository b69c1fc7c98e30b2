"""What an ONNX graph may hold before onnxruntime is given its bytes.

Whoever may deploy decides what runs in the server's own process, and onnxruntime trusts a graph in much: it reads
"external data" from the data directory, follows the children of a tree wherever they point, and makes a tensor as large
as it claims to be. So a graph may name only the operators of operators.py and no file, holds all that it claims
(reader.py), and its trees are trees (ensembles.py). How long a run takes and what it allocates is bounded while it runs
(guard.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import ensembles, operators, reader
from .libraries import ScoringError

# Operators that take inputs which may be left out, and the place of the first of those.
_OPTIONAL: dict[bytes, int] = {
    b"Clip": 1, b"Dropout": 1, b"Gemm": 2, b"LayerNormalization": 2, b"Loop": 0, b"Pad": 2, b"Slice": 3, b"Split": 1,
    b"Squeeze": 1,
}  # fmt: skip

_TERM = rb" *(?:[A-Za-z] *)*(?:\.\.\. *)?(?:[A-Za-z] *)*"
_EQUATION = re.compile(rb"%s(?:,%s)*(?:->%s)?" % (_TERM, _TERM, _TERM))

# Operators and those of their inputs that say how large the result is.
_SIZES: dict[bytes, tuple[int, ...]] = {
    b"Compress": (0, 1), b"ConstantOfShape": (0,), b"Expand": (1,), b"NonZero": (0,), b"OneHot": (1,), b"Pad": (1, 3),
    b"Range": (0, 1, 2), b"Reshape": (1,), b"Slice": (1, 2, 3, 4), b"Split": (1,), b"Squeeze": (1,), b"Tile": (1, 2),
    b"TopK": (1,), b"Unsqueeze": (1,),
}  # fmt: skip


def check(content: bytes, onnxruntime: tuple[int, ...]) -> bool:
    """Raises ScoringError for a graph that may not run in this version of onnxruntime.

    Gives whether its work is steady: one run tells of later ones with as many rows, which take at most twice as long.
    """
    graph = reader.Reader(content).model()
    todo = [graph]
    while todo:
        for node in todo.pop().nodes:
            operators.check(node.domain, node.name, onnxruntime)
            ensembles.check(node)
            _check_inputs(node)
            _check_equation(node)
            todo.extend(node.graphs())
            if node.name in (b"Loop", b"Scan"):
                _check_bodies(node)
    return _steady(graph, set()) is not None


def _check_inputs(node: reader.Node) -> None:
    """An input without a name is one that is left out; where it must be there, some operators read it all the same."""
    optional = _OPTIONAL.get(node.name, 1 if node.name.startswith(b"Reduce") else len(node.inputs))
    if b"" in node.inputs[:optional]:
        raise ScoringError(f"the graph holds an operator {node.name.decode()} that lacks an input")


def _check_equation(node: reader.Node) -> None:
    """Einsum's equation: onnxruntime reads others without end, or reads inputs that are not there."""
    if node.name != b"Einsum":
        return
    given = node.attributes.get(b"equation")
    equation = b"" if given is None or given.text is None else given.text
    terms = equation.partition(b"->")[0].split(b",")
    if not _EQUATION.fullmatch(equation) or len(terms) != len(node.inputs):
        raise ScoringError("the graph holds an Einsum whose equation does not fit its inputs")


def _check_bodies(node: reader.Node) -> None:
    """A loop is interrupted between the operators of its body: there must be one that is always run."""
    for body in node.graphs():
        made = {name for inner in body.nodes if inner.name != b"Constant" for name in inner.outputs}
        if not made.intersection(body.outputs):
            raise ScoringError("the graph holds a loop that computes nothing")


def _steady(graph: reader.Graph, around: set[bytes]) -> set[bytes] | None:
    """The tensors that are the same for any rows of the same number, in a graph whose work is, or at most doubles; None
    in another.

    `around` holds those of the graphs around it, and of its own inputs.
    """
    known = around | {b""} | set(graph.constants)
    some_rows = _SomeRows()
    for node in graph.nodes:
        inputs = node.inputs
        if some_rows.take(node):
            known.difference_update(node.outputs)
            continue
        if not some_rows.leave(node):
            return None
        sizes = _SIZES.get(node.name, (1,) if node.name.startswith(b"Reduce") else ())
        if not known.issuperset(inputs[place] for place in sizes if place < len(inputs)):
            return None
        if not all(_steady_body(node, body, known) for body in node.graphs()):
            return None
        if node.name in (b"Shape", b"Size") or (not node.graphs() and known.issuperset(inputs)):
            known.update(node.outputs)
        else:
            known.difference_update(node.outputs)
    return known if some_rows.tensors.isdisjoint(graph.outputs) else None


@dataclass
class _SomeRows:
    """What works on some of the rows, each time on others: it is allowed to double the work of a graph, and no more.

    So each part stands beside another that is run for all rows: for a tree ensemble, one with the same splits, and one
    Compress of its input. `tensors` have as many rows as were chosen.
    """

    tensors: set[bytes] = field(default_factory=set)
    _ensembles: list[reader.Node] = field(default_factory=list)  # of all rows
    _blocks: list[bytes] = field(default_factory=list)  # their inputs
    _chosen: dict[bytes, bytes] = field(default_factory=dict)  # what Compress gives, and of which of those
    _indices: set[bytes] = field(default_factory=set)  # what NonZero gives

    def take(self, node: reader.Node) -> bool:
        """Whether the node is one that may work on some rows; each that is taken leaves less for others."""
        inputs = node.inputs[:1]
        if node.name == b"NonZero" and self.tensors.isdisjoint(inputs):
            self._indices.update(node.outputs)
        elif node.name == b"Transpose" and self._indices.issuperset(inputs):
            self._indices.difference_update(inputs)
        elif node.name == b"Compress" and inputs and inputs[0] in self._blocks and self.tensors.isdisjoint(node.inputs):
            self._blocks.remove(inputs[0])
            self._chosen.update(dict.fromkeys(node.outputs, inputs[0]))
        elif node.name == b"TreeEnsemble" and inputs and inputs[0] in self._chosen:
            beside = (other for other in self._ensembles if other.inputs == [self._chosen[inputs[0]]])
            same = [other for other in beside if ensembles.differ_in_weights(node, other)]
            if not same:
                return False
            self._ensembles.remove(same[0])
        else:
            return False
        self.tensors.update(node.outputs)
        return True

    def leave(self, node: reader.Node) -> bool:
        """Whether another node works on all rows, into which ScatterND may write what became of some."""
        if node.name == b"TreeEnsemble":
            self._ensembles.append(node)
            self._blocks += node.inputs
        read = node.inputs[:1] if node.name == b"ScatterND" else node.inputs
        return not self.tensors or (not node.graphs() and self.tensors.isdisjoint(read))


def _steady_body(node: reader.Node, body: reader.Graph, known: set[bytes]) -> bool:
    """Whether the graph within an If, Loop or Scan is run as often, and with the same work, for any rows."""
    around = known.difference(body.inputs)
    if node.name == b"Loop":
        if len(node.inputs) < 2 or not node.inputs[0] or not known.issuperset(node.inputs[:2]):
            return False
        inside = _steady(body, around.union(body.inputs[:2]))  # the number of the turn, and whether to go on
        return inside is not None and inside.issuperset(body.outputs[:1])
    return (node.name == b"Scan" or known.issuperset(node.inputs)) and _steady(body, around) is not None
