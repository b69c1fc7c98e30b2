"""From a program and the table's types to an artifact: chooses the strategy and renders each function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from pgscore.errors import SignatureError, UnsupportedError

from . import ir
from .artifact import ONE_ROW, Artifact, Function, OnnxGraph, Parameter, SqlType, Strategy, Template, Use
from .backends import onnx, sql, sql_domains, sql_subgraph
from .costs import DEFAULTS, Costs
from .facts import Facts, analyse, with_overflow_checks
from .finite_sums import check_sums
from .function_plans import Plan, plans
from .probe_paths import paths
from .probes import probes
from .rewrites import prune, prune_overflow, simplify
from .specialise import specialise
from .strategy import (
    BYTES_OF_OTHERS,
    BYTES_OF_TREES,
    FORCED_CHARACTERS,
    MAX_MEMORY,
    Size,
    choose,
    choose_others,
    estimates,
    inline_characters,
    measure,
)
from .where import Where, examples

WHOLE = (SqlType.INTEGER, SqlType.BIGINT, SqlType.BOOLEAN)


def build(  # noqa: PLR0913 - keywords
    program: ir.Program,
    parameters: Sequence[Parameter],
    *,
    strategy: Strategy | None = None,
    available: frozenset[Strategy] = frozenset(Strategy),
    estimator: str = "",
    model_sha256: str = "",
    libraries: Mapping[str, str] | None = None,
    where: Where | None = None,
    costs: Costs = DEFAULTS,
    one_row: bool = False,
) -> Artifact:
    """The artifact of a program for one signature; `parameters[i]` belongs to `program.columns[i]`.

    Without `strategy` the cheapest of `available` is taken, by `costs`. With `where` it is for the rows of that
    condition, and gives NULL for all others. Raises SignatureError where the parameters do not fit the program's
    columns, UsageError where the condition does not, and UnsupportedError where the program has no exact form in the
    strategy asked for.

    With `one_row` there is a function for one row even where it runs as the main one does.
    """
    _check_signature(program, parameters)
    planned = plans(program)
    program = prune(program, _outputs_of(program, planned))
    probed = probes(program)
    if where is not None:
        domains = where.domains(parameters)
        for name, values in examples(domains, parameters).items():
            probed[name] = tuple(dict.fromkeys([*values, *probed.get(name, ())]))
        program = specialise(program, domains)
    simple = simplified(program, parameters)
    reached = paths(program)
    size = measure(simple)
    chosen, reason = _choose(program, size, strategy, available, costs)
    graph = None
    if chosen is Strategy.ONNX:
        if program.as_is is not None:
            as_is = prune(program.as_is, _outputs_of(program.as_is, planned))
            program = replace(as_is, domains=program.domains)
        graph = _graph(program, parameters)
        functions = [_onnx_function(plan, program) for plan in planned]
    else:
        limit = inline_characters(costs) if strategy is None else FORCED_CHARACTERS
        write = partial(
            _sql_function, program=simple, facts=analyse(simple, parameters), parameters=parameters, limit=limit
        )
        functions = [write(plan, strategy=chosen) for plan in planned]
        if chosen is Strategy.SQL and functions[0].language != "sql":
            chosen, reason = _fall_back(strategy, available)
        elif strategy is None and chosen is Strategy.SQL:
            size = replace(size, characters=len(functions[0].body.text))
            _, reason = choose(size, available, costs)
    found = {use: {s: of[s] for s in Strategy if s in available} for use, of in estimates(size, costs).items()}
    uses = dict.fromkeys(Use, chosen)
    if strategy is None and chosen is not Strategy.ONNX:
        uses, others = choose_others(found, chosen, in_batches=planned[0].in_batches)
        reason += others
    if Strategy.ONNX in uses.values() and graph is None:
        # The graph refuses what SQL refuses for overflow.
        program = prune_overflow(with_overflow_checks(simple, parameters), _outputs_of(simple, planned[:1]))
        graph = _graph(program, parameters)
        if uses[Use.REFRESH] is Strategy.ONNX:
            functions[0] = replace(functions[0], outputs=_indices(planned[0], program))
    if one_row or uses[Use.ONE] is not chosen:
        plan = replace(planned[0], suffix=ONE_ROW)
        in_onnx = uses[Use.ONE] is Strategy.ONNX
        one = _onnx_function(plan, program) if in_onnx else write(plan, strategy=uses[Use.ONE])
        functions.append(replace(one, outputs=()))
    if graph is not None and not graph.features:  # PostgreSQL makes no array of empty ones
        functions = [replace(function, outputs=()) for function in functions]
    return Artifact(
        program.kind,
        estimator,
        tuple(parameters),
        tuple(functions),
        chosen,
        reason,
        model_sha256,
        graph,
        dict(libraries or {}),
        probed,
        reached,
        program.tolerance,
        program.approximation,
        where=where,
        uses=uses,
        estimates=found,
    )


def _choose(
    program: ir.Program, size: Size, strategy: Strategy | None, available: frozenset[Strategy], costs: Costs
) -> tuple[Strategy, str]:
    """The strategy for queries, and why. Raises UnsupportedError."""
    parts = [node for node in program.nodes if isinstance(node, ir.Subgraph)]
    if parts:
        chosen, reason = _only_onnx(parts[0], strategy, available)
    elif program.as_is is not None and program.tolerance > ir.TOLERANCE and Strategy.ONNX in available:
        within = f"{program.tolerance:.0e} ({program.approximation})"
        chosen, reason = Strategy.ONNX, f"the graph as it is gives its own answers, SQL would come within {within}"
    else:
        chosen, reason = choose(size, available, costs)
    if strategy is not None:
        return strategy, f"asked for; auto would take {chosen.value}: {reason}"
    return chosen, reason


def simplified(program: ir.Program, parameters: Sequence[Parameter]) -> ir.Program:
    """The program as SQL renders it for columns of these types."""
    whole = frozenset(i for i, p in enumerate(parameters) if p.type in WHOLE)
    return check_sums(simplify(program, whole), parameters)


def _graph(program: ir.Program, parameters: Sequence[Parameter]) -> OnnxGraph:
    """The graph with the SQL of its features; with a condition, one more of them says whether it holds."""
    n_outputs = sum(len(output.columns) for output in program.outputs)
    if not program.domains:
        return OnnxGraph(onnx.export(program), sql.features(program, parameters), n_outputs)
    condition = sql_domains.holds(program, parameters).text
    position, index = len(program.nodes), len(program.columns)
    flag = ir.Check((ir.Ref(position, 0),), 1.0, 1.0)
    guarded = replace(
        program,
        columns=(*program.columns, ir.Column("condition", ir.Dtype.NUMBER)),
        nodes=(*program.nodes, ir.Input((), index), flag),
    )
    features = sql.features(guarded, [*parameters, Parameter("condition", SqlType.DOUBLE)])
    hole = Template.hole(index)
    return OnnxGraph(
        onnx.export(guarded), tuple(Template(f.text.replace(hole, condition)) for f in features), n_outputs
    )


def default_parameters(program: ir.Program) -> tuple[Parameter, ...]:
    """The signature where no table says the types: double precision and text."""
    types = {ir.Dtype.NUMBER: SqlType.DOUBLE, ir.Dtype.TEXT: SqlType.TEXT}
    return tuple(Parameter(column.name, types[column.dtype]) for column in program.columns)


def _check_signature(program: ir.Program, parameters: Sequence[Parameter]) -> None:
    if len(parameters) != len(program.columns):
        raise SignatureError(f"the model takes {len(program.columns)} columns, the signature has {len(parameters)}")
    for column, parameter in zip(program.columns, parameters, strict=True):
        if column.dtype is not parameter.type.dtype:
            raise SignatureError(
                f"column {column.name!r} holds {column.dtype.value} in the model, but {parameter.type.value} here"
            )


def _only_onnx(part: ir.Subgraph, strategy: Strategy | None, available: frozenset[Strategy]) -> tuple[Strategy, str]:
    """ONNX, where it is there and nothing else is asked for."""
    if Strategy.ONNX not in available or strategy not in (None, Strategy.ONNX):
        raise UnsupportedError("model", part.reason or sql_subgraph.REASON, sql_subgraph.WAY_FORWARD)
    return Strategy.ONNX, part.reason or sql_subgraph.REASON


def _fall_back(strategy: Strategy | None, available: frozenset[Strategy]) -> tuple[Strategy, str]:
    """plpgsql instead of an expression that repeats large terms; refused where the user insists on inline SQL."""
    if strategy is not None or Strategy.PLPGSQL not in available:
        raise UnsupportedError("model", "as one SQL expression it is too large", "use --strategy plpgsql")
    return Strategy.PLPGSQL, "as one SQL expression it would repeat large terms; plpgsql keeps them in variables"


def _outputs_of(program: ir.Program, plans: Sequence[Plan]) -> list[ir.Output]:
    """The outputs that some function needs."""
    used = {plan.output for plan in plans}
    return [output for output in program.outputs if output.method in used]


def _indices(plan: Plan, program: ir.Program) -> tuple[int, ...]:
    """The columns of a function among the columns of all outputs."""
    start = plan.first
    for output in program.outputs:
        if output.method is plan.output:
            break
        start += len(output.columns)
    return tuple(range(start, start + len(plan.columns.columns)))


def _sql_function(  # noqa: PLR0913, PLR0917 - all of them vary
    plan: Plan, program: ir.Program, facts: Facts, parameters: Sequence[Parameter], strategy: Strategy, limit: int
) -> Function:
    """The function in SQL; in plpgsql where the strategy says so, or where one expression would be too large."""
    indices = _indices(plan, program)
    columns = tuple(ref for output in program.outputs for ref in output.columns)
    result = replace(plan.columns, columns=tuple(columns[index] for index in indices))
    language = strategy.value
    try:
        if strategy is Strategy.SQL:
            body = sql.expression(program, parameters, facts, result, limit)
        else:
            body = sql.block(program, parameters, facts, result)
    except sql.TooLargeError:
        body, language = sql.block(program, parameters, facts, result), Strategy.PLPGSQL.value
    if language == Strategy.PLPGSQL.value:
        _require_memory(program, body)
    return Function(plan.suffix, plan.method, plan.result, language, body, (), plan.labels)


def _require_memory(program: ir.Program, body: Template) -> None:
    """Refuses a function that the server could not run in MAX_MEMORY."""
    if len(body.text) * BYTES_OF_OTHERS <= MAX_MEMORY:
        return
    of_trees = measure(program).splits * 100 > len(body.text)
    needed = len(body.text) * (BYTES_OF_TREES if of_trees else BYTES_OF_OTHERS)
    if needed > MAX_MEMORY:
        size = f"as plpgsql it has {len(body.text):,} characters and would take {needed / 1e6:,.0f} MB of a session"
        raise UnsupportedError("model", size, "use --strategy onnx, or a smaller model")


def _onnx_function(plan: Plan, program: ir.Program) -> Function:
    """The function over the outputs of the graph, one row at a time."""
    indices = _indices(plan, program)
    row = f"({OnnxGraph.OUTPUTS.text})"
    first = indices[0] + 1
    match plan.columns.shape:
        case sql.Shape.NUMBER:
            body = f"{row}[{first}]"
        case sql.Shape.INTEGER:
            body = f"({row}[{first}])::integer"
        case sql.Shape.ARRAY:
            # A refused row has NULL in all outputs.
            nothing = ", ".join(["NULL"] * len(indices))
            body = f"nullif({row}[{first}:{indices[-1] + 1}], ARRAY[{nothing}]::float8[])"
        case sql.Shape.LABEL:
            body = _by_index(f"{row}[{first}]", plan.columns.labels)
        case sql.Shape.LABELS:
            chosen = ", ".join(
                _by_index(f"o[{index + 1}]", labels)
                for index, labels in zip(indices, plan.columns.targets, strict=True)
            )
            # A refused row has NULL in all of them. The graph is called once.
            body = f"(SELECT CASE WHEN o[{first}] IS NOT NULL THEN ARRAY[{chosen}] END FROM (SELECT {row}) AS s(o))"  # noqa: S608
    return Function(plan.suffix, plan.method, plan.result, "sql", Template(body), indices, plan.labels)


def _by_index(index: str, labels: Sequence[ir.Label]) -> str:
    """The label whose number is `index`."""
    results = [sql.label_literal(value) for value in labels]
    whens = " ".join(f"WHEN {number} THEN {result}" for number, result in enumerate(results))
    return f"CASE ({index})::integer {whens} END"
