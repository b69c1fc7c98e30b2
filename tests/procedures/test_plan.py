from __future__ import annotations

from pgscore.compiler import ir
from pgscore.compiler.artifact import Parameter, SqlType
from pgscore.compiler.build import build
from pgscore.procedures.binding import Binding
from pgscore.procedures.functions import VersionPlan, dollar_tag, function_name
from pgscore.procedures.plan import Statement, as_script, as_text


def test_script() -> None:
    statements = [Statement("SELECT 1", "one\nline each"), Statement("SELECT 2;\n")]
    assert as_text(statements) == "-- one\n-- line each\nSELECT 1;\n\nSELECT 2;\n"
    assert as_script(statements) == (
        "\\set ON_ERROR_STOP on\n\\encoding UTF8\n\nBEGIN;\n\n-- one\n-- line each\nSELECT 1;\n\nSELECT 2;\n\nCOMMIT;\n"
    )


def test_dollar_tag_is_not_in_the_text() -> None:
    assert dollar_tag("BEGIN END") == "$body$"
    for text in ("$body$", "x $body", "$body$ $body1$ $body2"):
        tag = dollar_tag(text)
        assert tag[:-1] not in text


def test_function_names() -> None:
    assert function_name("churn", 3) == "churn_v3"
    assert function_name("churn", 3, "label") == "churn_v3_label"
    longest = function_name("x" * 40, 2**31 - 1, "decision")
    assert len(longest) <= 63


def test_statements_of_a_version() -> None:
    program = ir.Program(
        ir.ModelKind.REGRESSOR,
        (ir.Column("a b", ir.Dtype.NUMBER),),
        (ir.Input((), 0), ir.Affine((ir.Ref(0, 0),), [[2.0]], [1.0])),  # type: ignore[arg-type]
        (ir.Output(ir.Method.PREDICT, (ir.Ref(1, 0),)),),
    )
    parameters = (Parameter("a b", SqlType.DOUBLE),)
    artifact = build(program, parameters, estimator="Twice -- it's")
    binding = Binding("public.t", "public", parameters, ("A B",), (False,))
    plan = VersionPlan("twice", 1, artifact, binding)
    texts = [s.text for s in plan.statements()]
    assert len(texts) == 4
    assert texts[0].splitlines()[:3] == [
        'CREATE FUNCTION "score"."twice_v1"("a b" double precision)',
        "RETURNS double precision",
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE",
    ]
    assert texts[2].endswith('RETURN "score"."twice_v1"("a b" => ((r)."A B")::double precision)')
    assert "Twice -- it''s'" in texts[1]
    staged = [s.text for s in plan.statements("staging")]
    assert staged == [text.replace('"score"', '"staging"') for text in texts]
