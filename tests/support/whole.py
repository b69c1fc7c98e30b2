"""Whether catalog, functions and history tell one story: what must hold after every deploy, kill, race and restore."""

from __future__ import annotations

from typing import Any

from .tiny import query

# Each function of each version: one by names of its inputs (up to 100), one by row. `moving` ones call it.
FUNCTIONS = """
    SELECT p.proname::text, p.proargtypes::text, p.prokind::text,
           (SELECT string_agg(called.proname || ' ' || called.proargtypes::text, ',')
            FROM pg_depend AS d JOIN pg_proc AS called ON called.oid = d.refobjid
            WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.objid = p.oid
              AND called.pronamespace = 'score'::regnamespace)
    FROM pg_proc AS p WHERE p.pronamespace = 'score'::regnamespace"""
VERSIONS = """
    SELECT m.model_id, m.name, m.last_version, v.version, jsonb_array_length(v.parameters),
           ARRAY(SELECT f ->> 'suffix' FROM jsonb_array_elements(v.functions) AS f),
           v.version_id IN (SELECT a.version_id FROM pgscore.aliases AS a WHERE a.alias = 'live'),
           (SELECT count(*) FROM pgscore.parity_cases AS c WHERE c.version_id = v.version_id),
           CASE WHEN v.functions -> 0 ? 'factors' THEN 'factors' ELSE v.strategy END
    FROM pgscore.models AS m LEFT JOIN pgscore.versions AS v USING (model_id) ORDER BY 1, 4"""
ALIASES = """
    SELECT a.model_id, a.alias, v.version
    FROM pgscore.aliases AS a JOIN pgscore.versions AS v USING (version_id)"""
HISTORY = """
    SELECT model_id, alias, action, from_version, to_version FROM pgscore.history ORDER BY model_id, history_id"""
FACTORS = """
    SELECT c.relname::text FROM pg_class AS c
    WHERE c.relnamespace = 'pgscore'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_v[0-9]+_(users|items)$'"""
ORPHANS = """
    SELECT g.sha256 FROM pgscore.onnx_graphs AS g
    WHERE NOT EXISTS (SELECT FROM pgscore.versions AS v WHERE v.onnx_sha256 = g.sha256)"""


def assert_catalog_is_whole(connection: Any) -> None:
    """Fails unless versions, functions, parity cases, aliases, graphs and history agree; reads as the superuser."""
    versions = query(connection, VERSIONS)
    _functions_are_those_of(connection, versions)
    assert [row for row in versions if row[3] is None or row[7] != 1] == [], "a version without its cases"
    models = {row[0] for row in versions}
    assert {row[0] for row in versions if row[6]} == models, "a model without a live version"
    assert query(connection, ORPHANS) == []
    tables = {f"{row[1]}_v{row[3]}_{side}" for row in versions if row[8] == "factors" for side in ("users", "items")}
    assert {name for (name,) in query(connection, FACTORS)} == tables
    _history_tells(connection, versions, models)


def _functions_are_those_of(connection: Any, versions: list[tuple[Any, ...]]) -> None:
    found = {(name, arguments): calls for name, arguments, _, calls in query(connection, FUNCTIONS)}
    named: dict[str, list[tuple[str, str]]] = {}
    for name, arguments in found:
        named.setdefault(name, []).append((name, arguments))
    expected = set()
    for _, model, _, version, inputs, suffixes, live, _, strategy in versions:
        if strategy == "onnx":
            outputs, features = (named.get(f"{model}_v{version}_{what}", []) for what in ("outputs", "features"))
            assert (len(outputs), len(features)) == (2, 2 if inputs <= 100 else 1), (model, version)
            expected.update(outputs + features)
        if strategy == "factors":
            (top,) = named.get(f"{model}_v{version}_top", [])
            expected.add(top)
        for suffix in suffixes:
            tail = f"_{suffix}" if suffix else ""
            own = named.get(f"{model}_v{version}{tail}", [])
            assert len(own) == (2 if inputs <= 100 else 1), (model, version, suffix, own)
            expected.update(own)
            if live:
                moving = [(f"{model}{tail}", arguments) for _, arguments in own]
                expected.update(moving)
                calls = [found.get(function) for function in moving]
                assert calls == [f"{name} {arguments}" for name, arguments in own], (model, version, moving, calls)
    assert set(found) == expected


def _history_tells(connection: Any, versions: list[tuple[Any, ...]], models: set[int]) -> None:
    alive: dict[int, list[int]] = {}
    last: dict[int, int] = {}
    aliases: dict[tuple[int, str], int] = {}
    for model, alias, action, from_version, to_version in query(connection, HISTORY):
        line = (model, alias, action, from_version, to_version)
        if action == "deploy":
            assert to_version > last.get(model, 0), line
            last[model] = to_version
            alive.setdefault(model, []).append(to_version)
        elif action == "drop" and from_version is None:
            alive.pop(model)
            aliases = {key: version for key, version in aliases.items() if key[0] != model}
        elif action == "drop":
            alive[model].remove(from_version)
        elif action == "unalias":
            assert aliases.pop((model, alias)) == from_version, line
        elif action not in {"grant", "revoke"}:
            assert from_version == aliases.get((model, alias)), line
            assert to_version in alive[model], line
            aliases[model, alias] = to_version
    told = {(model, version) for model, numbers in alive.items() for version in numbers}
    assert told == {(row[0], row[3]) for row in versions}
    assert all(row[2] == last[row[0]] for row in versions), "last_version is not that of the last deploy"
    assert {(model, alias): version for model, alias, version in query(connection, ALIASES)} == aliases
