"""CouplePairwise in plpgsql: libsvm's iteration, step by step."""

from __future__ import annotations

from pgscore.quoting import number

from .. import ir
from ..ir import Ref
from .sql_scope import Scope, TooLargeError, present
from .sql_text import Form, Kind, Value, indent


def couple(node: ir.CouplePairwise, ref: Ref, scope: Scope) -> Value:
    """The probability of one class. Raises TooLargeError in an expression, which has no loop."""
    if not scope.variables:
        raise TooLargeError
    return scope.shared(ref.node, lambda: _in_variables(node, scope))[ref.column]


def _in_variables(node: ir.CouplePairwise, scope: Scope) -> list[Value]:
    n = node.width
    pairs = [present(ref, scope).operand for ref in node.inputs]
    r = [["'0'"] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            r[i][j] = pairs[node.pair(i, j)]
            r[j][i] = f"({number(1.0)} - {pairs[node.pair(i, j)]})"
    double, array = "double precision", "double precision[]"
    rows = []
    for t in range(n):
        diagonal = " + ".join(f"{r[j][t]} * {r[j][t]}" for j in range(n) if j != t)
        rows.append("ARRAY[" + ", ".join(diagonal if j == t else f"- {r[j][t]} * {r[t][j]}" for j in range(n)) + "]")
    q = scope.variable(array, f"ARRAY[{', '.join(rows)}]", "q")
    p = scope.variable(array, f"array_fill({number(1 / n)}, ARRAY[{n}])", "p")
    products = scope.variable(array, p, "products")
    total, diff = (scope.variable(double, number(0.0), name) for name in ("total", "diff"))
    product = " + ".join(f"{q}[t][{j}] * {p}[{j}]" for j in range(1, n + 1))
    settled = "\n  AND ".join(f"abs({products}[{t}] - {total}) < {number(node.tolerance)}" for t in range(1, n + 1))
    adjust = "\n".join(
        [
            f"{diff} := ({total} - {products}[t]) / {q}[t][t];",
            f"{p}[t] := {p}[t] + {diff};",
            f"{total} := ({total} + {diff} * ({diff} * {q}[t][t] + {number(2.0)} * {products}[t]))"
            f" / ({number(1.0)} + {diff}) / ({number(1.0)} + {diff});",
            f"FOR j IN 1..{n} LOOP",
            f"  {products}[j] := ({products}[j] + {diff} * {q}[t][j]) / ({number(1.0)} + {diff});",
            f"  {p}[j] := {p}[j] / ({number(1.0)} + {diff});",
            "END LOOP;",
        ]
    )
    body = "\n".join(
        [
            f"{total} := {number(0.0)};",
            f"FOR t IN 1..{n} LOOP",
            f"  {products}[t] := {product};",
            f"  {total} := {total} + {p}[t] * {products}[t];",
            "END LOOP;",
            f"EXIT WHEN {settled};",
            f"FOR t IN 1..{n} LOOP",
            f"  {indent(adjust)}",
            "END LOOP;",
        ]
    )
    scope.statements.append(f"FOR turn IN 1..{node.max_iterations} LOOP\n  {indent(body)}\nEND LOOP;")
    return [Value(scope.variable(double, f"{p}[{t}]", "p"), Kind.FLOAT, Form.SIMPLE) for t in range(1, n + 1)]
