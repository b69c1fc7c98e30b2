-- What a deploy calls, in one transaction: begin_version, for a graph add_graph, for a recommender what 27_factors.sql has, then
-- CREATE FUNCTION in pgscore_staging,
-- publish_functions, and after the parity gate add_version. `pgscore deploy --dry-run` prints such a script.
--
-- Rights. A deployer writes the functions' bodies, and everybody who scores runs them: they must not be a way to other
-- roles' rights. So a body in SQL may only compute (pgscore.impurity looks at its parse tree), and a body in plpgsql,
-- which cannot be looked into, runs as pgscore_sandbox, which has no rights. From publish_functions on the functions are
-- out of the deployer's hands. These functions run as the owner; EXECUTE on them is what makes a deployer.
--
-- Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.begin_version(model text, expected integer DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    number integer;
BEGIN
    IF model IS NULL OR model !~ '^[a-z][a-z0-9_]*$' OR octet_length(model) > 40 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a model', model),
            HINT = 'use at most 40 lower-case letters, digits and _, and begin with a letter';
    END IF;
    INSERT INTO pgscore.models AS m (name, last_version)
    VALUES (model, 1)
    ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1
    RETURNING m.last_version INTO number;
    IF number <> expected THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('the next version of model %s is %s by now, not %s', model, number, expected),
            HINT = 'deploy again';
    END IF;
    RETURN number;
END
$function$;
COMMENT ON FUNCTION pgscore.begin_version(text, integer) IS
    'Gives the number of the model''s next version, and holds the model to the end of the transaction: another deploy '
    'of it waits. Refused if the number is not the expected one. The first step of a deploy';

CREATE OR REPLACE FUNCTION pgscore.require_begun(model text, version integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM FROM pgscore.models AS m
    WHERE m.name = require_begun.model AND m.last_version = require_begun.version
      AND NOT EXISTS (
          SELECT FROM pgscore.versions AS v WHERE v.model_id = m.model_id AND v.version = require_begun.version)
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('version %s of model %s is not being deployed', coalesce(version::text, 'NULL'), model),
            HINT = 'SELECT pgscore.begin_version(…) first, in the same transaction';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.require_begun(text, integer) IS
    'Raises unless begin_version gave this number and the version is not recorded yet. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.add_graph(model text, version integer, content bytea)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    hash CONSTANT text := encode(sha256(content), 'hex');
    name CONSTANT text := format('%s_v%s_outputs', model, version);
    one record;
BEGIN
    PERFORM pgscore.require_begun(model, version);
    -- 0.1.0 has one that takes bytes.
    IF to_regprocedure('pgscore.onnx_batch(text, double precision[], integer)') IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = 'ONNX needs the PL/Python functions, which are not in this database',
            HINT = 'a superuser runs `pgscore install --plpython` once, and after an upgrade `pgscore upgrade --plpython`';
    END IF;
    -- Where it is there already, a drop of the last version that used it must leave it to this one.
    PERFORM FROM pgscore.onnx_graphs AS g WHERE g.sha256 = hash FOR KEY SHARE;
    INSERT INTO pgscore.onnx_graphs (sha256, content) VALUES (hash, add_graph.content) ON CONFLICT DO NOTHING;
    -- One pair for each version: who may call it may call this graph and no other.
    FOR one IN
        SELECT *
        FROM (VALUES
            ('features double precision[]', 'double precision[]', 'onnx_row', '$1', 1000,
             'the outputs of the ONNX graph for one row; NULL for a row that it refuses'),
            ('features double precision[], output integer', 'double precision[], integer', 'onnx_batch', '$1, $2', 1000000,
             'one output (from 0) of the ONNX graph for each row of a float8[][]; NULL for a refused row')
        ) AS form (arguments, types, called, passed, cost, description)
    LOOP
        EXECUTE format(
            'CREATE FUNCTION score.%I(%s) RETURNS double precision[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST %s'
            ' SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
            name, one.arguments, one.cost, format('BEGIN RETURN pgscore.%I(%L, %s); END', one.called, hash, one.passed));
        EXECUTE format('COMMENT ON FUNCTION score.%I(%s) IS %L', name, one.types,
                       format('%s v%s: %s', model, version, one.description));
        EXECUTE format('REVOKE ALL ON FUNCTION score.%I(%s) FROM PUBLIC', name, one.types);
    END LOOP;
    PERFORM pgscore.let_call(pgscore.functions_named(ARRAY[name]), pgscore.callers(model));
    RETURN hash;
END
$function$;
COMMENT ON FUNCTION pgscore.add_graph(text, integer, bytea) IS
    'Stores the version''s ONNX graph and creates score.MODEL_vVERSION_outputs, which run it for a row or a batch. Gives '
    'its SHA-256. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.impurity(function oid, own oid[])
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT CASE
        WHEN p.prokind <> 'f' OR p.proretset OR p.pronargdefaults > 0 OR p.provariadic <> 0
             OR p.prosecdef OR p.proleakproof OR p.proisstrict OR p.prosupport <> 0
             -- Of a row with an enum, whose text is STABLE.
             OR p.provolatile <> 'i' AND NOT (p.provolatile = 's' AND EXISTS (
                 SELECT FROM pg_type AS t WHERE t.oid = p.proargtypes[0] AND t.typtype = 'c'))
             OR p.proparallel <> 's'
            THEN 'is no plain function that is IMMUTABLE and PARALLEL SAFE'
        WHEN format_type(p.prorettype, NULL)
             !~ '^(integer|bigint|boolean|text|double precision)(\[\])?$'
            THEN format('gives %s', format_type(p.prorettype, NULL))
        WHEN EXISTS (
                SELECT
                FROM unnest(p.proargtypes::oid[]) AS a (type)
                JOIN pg_type AS t ON t.oid = a.type
                WHERE CASE WHEN t.typtype = 'c' THEN p.pronargs <> 1
                           ELSE format_type(a.type, NULL) !~ '^(integer|bigint|boolean|text|double precision)$' END)
            THEN 'takes other arguments than numbers, booleans and text, or one row'
        WHEN l.lanname = 'plpgsql' THEN
            CASE WHEN p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']
                 THEN 'does not pin its search_path' END
        WHEN l.lanname <> 'sql' OR p.prosqlbody IS NULL OR p.proconfig IS NOT NULL
            THEN 'is neither plpgsql nor SQL in the form RETURN …'
        ELSE (
            -- The parse tree as text (pg_node_tree). In names and constants, braces and spaces are escaped or bytes.
            SELECT CASE
                WHEN found.word = 'RTEPERMISSIONINFO' THEN 'reads a table'
                WHEN found.kind = 'node' AND found.word NOT IN (
                        'AGGREF', 'ALIAS', 'ARRAYCOERCEEXPR', 'ARRAYEXPR', 'BOOLEANTEST', 'BOOLEXPR', 'CASEEXPR',
                        'CASETESTEXPR', 'CASEWHEN', 'CASE', 'WHEN', 'COALESCE', 'COALESCEEXPR', 'COERCEVIAIO', 'COLLATEEXPR', 'CONST',
                        'DISTINCTEXPR', 'FIELDSELECT', 'FROMEXPR', 'FUNCEXPR', 'JOINEXPR', 'MINMAX', 'MINMAXEXPR',
                        'NAMEDARGEXPR', 'NULLIFEXPR', 'NULLTEST', 'OPEXPR', 'PARAM', 'QUERY', 'RANGETBLENTRY', 'RANGETBLFUNCTION',
                        'RANGETBLREF', 'RELABELTYPE', 'ROW', 'ROWEXPR', 'SCALARARRAYOPEXPR', 'SORTGROUPCLAUSE',
                        'SUBLINK', 'SUBSCRIPTINGREF', 'TARGETENTRY', 'VAR')
                    THEN format('holds %s, which models do not', found.word)
                WHEN found.kind = 'commandType' AND found.word <> '1' THEN 'does more than SELECT'
                -- Sub-selects, joins, functions, VALUES and no table at all.
                WHEN found.kind = 'rtekind' AND found.word NOT IN ('1', '2', '3', '5', '8') THEN 'reads a table'
                -- Of a cast by way of text (COERCEVIAIO): reading a domain calls its checks.
                WHEN found.kind = 'resulttype' AND (
                        SELECT t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype <> 'b'
                        FROM pg_type AS t WHERE t.oid = found.word::oid)
                    THEN format('casts to %s', found.word::oid::regtype)
                WHEN found.kind = 'function' AND NOT (
                        found.word::oid = ANY (own)
                        OR EXISTS (
                            SELECT FROM pg_proc AS c
                            WHERE c.oid = found.word::oid AND c.pronamespace = 'pg_catalog'::regnamespace
                              AND c.provolatile = 'i'))
                    THEN format('calls %s', found.word::oid::regprocedure)
            END AS what
            FROM (
                SELECT DISTINCT
                    CASE WHEN m.parts[1] IS NOT NULL THEN 'node'
                         WHEN m.parts[2] ~ '(funcid|fnoid)$' THEN 'function'
                         ELSE m.parts[2] END,
                    coalesce(m.parts[1], m.parts[3])
                FROM regexp_matches(
                    p.prosqlbody::text,
                    '(?:^|[ (])\{([A-Z_]+)|:(commandType|rtekind|[a-z]*funcid|[a-z]*fnoid|resulttype(?= [0-9]+ :resultcollid)) ([0-9]+)',
                    'g'
                ) AS m (parts)
            ) AS found (kind, word)
            WHERE NOT (found.kind = 'function' AND found.word = '0')
            ORDER BY what
            LIMIT 1)
    END
    FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.oid = function
$function$;
COMMENT ON FUNCTION pgscore.impurity(oid, oid[]) IS
    'What keeps a function from being one of a model, or NULL. A body in SQL may call immutable functions of PostgreSQL and '
    'those in own; it reads no table. Whoever scores runs it with their own rights. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.publish_functions(model text, version integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    versioned CONSTANT text := format('%s_v%s', model, version);
    staged CONSTANT oid[] := ARRAY(
        SELECT p.oid FROM pg_proc AS p
        WHERE p.pronamespace = 'pgscore_staging'::regnamespace AND p.proname ~ ('^' || versioned || '(_[a-z]+)?$')
        ORDER BY p.oid);
    callers CONSTANT text[] := pgscore.callers(model);
    -- Not where the installer could make no roles, and that one is another database's.
    sandbox CONSTANT name := (
        SELECT r.rolname FROM pg_roles AS r
        WHERE r.rolname = 'pgscore_sandbox' AND pg_has_role(current_user, r.oid, 'USAGE'));
    one record;
BEGIN
    PERFORM pgscore.require_begun(model, version);
    FOR one IN
        SELECT p.oid, p.oid::regprocedure AS signature, p.proowner::regrole AS owner, l.lanname = 'plpgsql' AS opaque,
               pg_has_role(current_user, p.proowner, 'USAGE') AS ours,
               pgscore.impurity(p.oid, staged || pgscore.functions_named(ARRAY[versioned, versioned || '_outputs'])) AS impurity
        FROM unnest(staged) AS s (oid)
        JOIN pg_proc AS p USING (oid)
        JOIN pg_language AS l ON l.oid = p.prolang
    LOOP
        IF one.impurity IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS002',
                MESSAGE = format('%s is no function of a model: it %s', one.signature, one.impurity),
                HINT = 'the functions of a model compute from their arguments and do nothing else';
        END IF;
        IF NOT one.ours THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS005',
                MESSAGE = format('%s belongs to %s', one.signature, one.owner),
                HINT = format('ALTER FUNCTION %s OWNER TO pgscore_deployer', one.signature);
        END IF;
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', one.signature, current_user);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one.signature);
        IF one.opaque AND sandbox IS NOT NULL THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', one.signature);
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', one.signature, sandbox);
        END IF;
        EXECUTE format('ALTER FUNCTION %s SET SCHEMA score', one.signature);
    END LOOP;
    PERFORM pgscore.let_call(staged, callers);
END
$function$;
COMMENT ON FUNCTION pgscore.publish_functions(text, integer) IS
    'Moves the functions of a version from pgscore_staging to score, out of the deployer''s hands; refused unless they '
    'only compute. Bodies in plpgsql run as pgscore_sandbox from then on. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.add_version(model text, version integer, details jsonb, cases jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    versioned CONSTANT text := format('%s_v%s', model, version);
    bound CONSTANT regclass := to_regclass(details ->> 'bound_table');
    new_id integer;
    wrong text;
BEGIN
    PERFORM pgscore.require_begun(model, version);
    -- Refresh and verify write these names and types into queries.
    SELECT u.name INTO wrong
    FROM (
        SELECT pgscore.function_names(versioned, jsonb_build_array(d.described)), d.described ->> 'result'
        FROM jsonb_array_elements(details -> 'functions') AS d (described)
    ) AS f (names, result)
    CROSS JOIN LATERAL unnest(f.names) AS u (name)
    WHERE NOT EXISTS (
        SELECT FROM pg_proc AS p
        WHERE p.oid = ANY (pgscore.functions_named(f.names)) AND format_type(p.prorettype, NULL) = f.result)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('score.%I is not there, or gives another type', wrong),
            HINT = 'SELECT pgscore.publish_functions(…) comes first';
    END IF;
    SELECT m.name INTO wrong
    FROM pgscore.models AS m
    WHERE m.name <> add_version.model AND m.name = ANY (pgscore.function_names(add_version.model, details -> 'functions'));
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('version %s of model %s has a function named as model %s is', version, model, wrong),
            HINT = 'deploy under another name; with a --strategy there is no function for one row';
    END IF;
    IF bound IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS001', MESSAGE = format('there is no table %s', details ->> 'bound_table');
    END IF;
    -- What a job of the model does depends on it.
    IF EXISTS (
        SELECT FROM pgscore.versions AS v
        JOIN pgscore.models AS m USING (model_id)
        WHERE m.name = add_version.model AND (v.functions -> 0 ? 'factors') <> (details -> 'functions' -> 0 ? 'factors')) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('of the versions of model %s, all are recommenders or none', model),
            HINT = 'deploy under another name';
    END IF;

    INSERT INTO pgscore.versions (
        model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, sql, sha256,
        model_sha256, libraries, parity, condition)
    SELECT
        m.model_id, add_version.version, d.estimator, d.kind, d.strategy, d.reason, format('%I.%I', n.nspname, c.relname),
        d.parameters, d.functions, d.onnx_sha256, d.sql, d.sha256, d.model_sha256, d.libraries, d.parity, d.condition
    FROM pgscore.models AS m
    CROSS JOIN jsonb_to_record(details) AS d (
        estimator text, kind text, strategy text, reason text, parameters jsonb, functions jsonb, onnx_sha256 text, sql text,
        sha256 text, model_sha256 text, libraries jsonb, parity jsonb, condition text)
    JOIN pg_class AS c ON c.oid = bound
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE m.name = add_version.model
    RETURNING version_id INTO new_id;
    INSERT INTO pgscore.parity_cases (version_id, cases) VALUES (new_id, add_version.cases);
    INSERT INTO pgscore.history (model_id, model, action, to_version, note, sha256, parity)
    SELECT v.model_id, add_version.model, 'deploy', v.version, 'for rows where ' || v.condition, v.sha256, v.parity
    FROM pgscore.versions AS v
    WHERE v.version_id = new_id;

    -- The first version is live by itself.
    IF NOT EXISTS (
        SELECT FROM pgscore.aliases AS a
        JOIN pgscore.models AS m USING (model_id)
        WHERE m.name = add_version.model AND a.alias = 'live') THEN
        PERFORM pgscore.promote(model, version);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.add_version(text, integer, jsonb, jsonb) IS
    'Records a version whose functions publish_functions has made: details are the columns of pgscore.versions, cases that '
    'of pgscore.parity_cases. The first version of a model becomes live. The last step of a deploy';
