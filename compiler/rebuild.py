"""How a rewrite makes a program of another one, node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from . import ir
from .ir import Block, Ref

NodeT = TypeVar("NodeT", bound=ir.Node)


@dataclass
class Rebuild:
    """A program being copied: `moved` maps the columns of the old one to those of the new one."""

    program: ir.Program
    nodes: list[ir.Node] = field(default_factory=list)
    moved: dict[Ref, Ref] = field(default_factory=dict)

    def block(self, old: Block) -> Block:
        return tuple(self.moved[ref] for ref in old)

    def add(self, node: ir.Node) -> Block:
        self.nodes.append(node)
        return tuple(Ref(len(self.nodes) - 1, column) for column in range(node.width))

    def place(self, position: int, new: Block) -> None:
        """Says that the columns of the old node `position` are now `new`."""
        for column, ref in enumerate(new):
            self.moved[Ref(position, column)] = ref

    def copy(self, position: int) -> None:
        node = self.program.nodes[position]
        inputs = self.block(node.inputs)
        self.place(position, self.add(node if inputs == node.inputs else replace(node, inputs=inputs)))

    def finish(self) -> ir.Program:
        outputs = tuple(replace(o, columns=self.block(o.columns)) for o in self.program.outputs)
        return replace(self.program, nodes=tuple(self.nodes), outputs=outputs)


def replaced(program: ir.Program, kind: type[NodeT], change: Callable[[Rebuild, NodeT], ir.Node]) -> ir.Program:
    """The program with `change(rebuild, node)`, which reads columns of the new one, instead of each node of a kind."""
    rebuild = Rebuild(program)
    for position, node in enumerate(program.nodes):
        if isinstance(node, kind):
            rebuild.place(position, rebuild.add(change(rebuild, node)))
        else:
            rebuild.copy(position)
    return rebuild.finish()
