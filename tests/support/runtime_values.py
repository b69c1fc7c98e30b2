"""What PostgreSQL hands to procedures/runtime/ and what it takes back, and a small graph for it to run."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from pgscore.compiler import ir
from pgscore.compiler.backends.onnx import export


def sent(rows: list[list[float | None]], *, oid: int = 701) -> bytes:
    """What PostgreSQL holds for these rows, after the length."""
    values = [value for row in rows for value in row]
    present = [value is not None for value in values]
    bits = b"" if all(present) else np.packbits(present, bitorder="little").tobytes()
    bits += bytes(-len(bits) % 8)
    offset = 32 + len(bits) if bits else 0
    header = struct.pack("=iiiiiii", 2, offset, oid, len(rows), len(rows[0]), 1, 1)
    return header + bits + b"".join(struct.pack("=d", value) for value in values if value is not None)


def numbers(answer: bytes | None) -> list[float | None]:
    """The elements of a float8[] of which these are the bytes after the length."""
    assert answer is not None
    n_dimensions, offset, oid = struct.unpack_from("=iii", answer)
    assert oid == 701
    if n_dimensions == 0:
        return []
    n, first = struct.unpack_from("=ii", answer, 12)
    assert (n_dimensions, first) == (1, 1)
    bits = np.frombuffer(answer[20:], np.uint8, -(-n // 8)) if offset else np.full(-(-n // 8), 255, np.uint8)
    values = iter(np.frombuffer(answer[offset - 4 if offset else 20 :]).tolist())
    found = [next(values) if is_there else None for is_there in np.unpackbits(bits, count=n, bitorder="little")]
    assert next(values, None) is None
    return found


def graph(offset: float = 0.0, width: int = 2) -> tuple[str, bytes]:
    """x0 + offset and missing(x1), refused where x0 > 100; its hash and bytes."""
    program = ir.Program(
        ir.ModelKind.TRANSFORMER,
        tuple(ir.Column(f"x{i}", ir.Dtype.NUMBER) for i in range(width)),
        (
            *(ir.Input((), i) for i in range(width)),
            ir.Check((ir.Ref(0, 0),), low=-100, high=100, missing=True),
            ir.MultiplyAdd((ir.Ref(width, 0),), np.array([1.0]), np.array([offset])),
            ir.IsMissing(tuple(ir.Ref(i, 0) for i in range(1, width))),
        ),
        (ir.Output(ir.Method.TRANSFORM, (ir.Ref(width + 1, 0), ir.Ref(width + 2, 0))),),
    )
    content = export(program)
    return hashlib.sha256(content).hexdigest(), content
