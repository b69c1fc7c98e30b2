-- How a run scores its source: each row with one version, or with two that are compared (34_challenger.sql).
--
-- All of it runs as the caller of refresh.

CREATE OR REPLACE FUNCTION pgscore.scores_in_batches(called record)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN jsonb_array_length(called.main -> 'outputs') = 1 AND right(called.main ->> 'result', 2) <> '[]'
       -- Of versions of 0.1.0 and of those without a graph there is none.
       AND pgscore.functions_named(ARRAY[called.name || '_features']) <> '{}';
END
$function$;
COMMENT ON FUNCTION pgscore.scores_in_batches(record) IS
    'Whether refresh scores 10,000 rows of a version (of version_to_run) in one call of score.MODEL_vVERSION_outputs. '
    'It gives one output, so functions that give arrays are called row by row. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.scoring_query(
    source regclass, key_columns text[], called record, challenger record DEFAULT NULL, others text[] DEFAULT '{}',
    among text DEFAULT NULL, only_if text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    columns text[] := (
        SELECT array_agg(format('r.%I AS k%s', k.name, k.n) ORDER BY k.n)
        FROM unnest(key_columns) WITH ORDINALITY AS k (name, n));
BEGIN
    IF pgscore.scores_in_batches(called) THEN
        columns := columns || format('%s AS score_features', pgscore.score_expression(source, called, '_features'));
    ELSE
        columns := columns || format('%s AS score', pgscore.score_expression(source, called));
    END IF;
    IF challenger IS NOT NULL THEN
        IF pgscore.scores_in_batches(challenger) THEN
            columns := columns
                || format('%s AS challenger_features', pgscore.score_expression(source, challenger, '_features'));
        ELSE
            columns := columns || format('%s AS challenger', pgscore.score_expression(source, challenger));
        END IF;
        columns := columns || format('%s AS canary', pgscore.canary_condition(challenger.model, key_columns, challenger.canary));
    END IF;
    IF among IS NOT NULL THEN
        only_if := format(
            'EXISTS (SELECT FROM %s AS o WHERE %s)', among,
            (SELECT string_agg(format('o.k%s = r.%I', k.n, k.name), ' AND ' ORDER BY k.n)
             FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)))
            || coalesce(' AND (' || only_if || ')', '');
    END IF;
    RETURN format('SELECT %s FROM %s AS r', array_to_string(columns || others, ', '), source)
        || coalesce(' WHERE ' || only_if, '');
END
$function$;
COMMENT ON FUNCTION pgscore.scoring_query(regclass, text[], record, record, text[], text, text) IS
    'The query over the source of a job: keys k1, k2, …, score and the others (of target_columns); with a challenger (of '
    'challenger_to_run), its score as challenger, and canary. Where a version is scored in batches, score_features and challenger_features. Of all rows, '
    'or those whose key k1, k2, … stands in the table among and for which only_if holds. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.answer_of_graph(function jsonb, outputs text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF right(function ->> 'result', 2) = '[]' THEN
        -- A refused row has NULL in all outputs.
        RETURN format(
            'CASE WHEN num_nonnulls(%1$s) > 0 THEN ARRAY[%1$s]::%2$s END', array_to_string(outputs, ', '), function ->> 'result');
    END IF;
    -- Of a class, the model gives the number; the labels are in the catalog.
    IF function ->> 'labels' IS NULL THEN
        RETURN format('%s::%s', outputs[1], function ->> 'result');
    END IF;
    RETURN format('(%L::jsonb ->> %s::integer)::%s', function -> 'labels', outputs[1], function ->> 'result');
END
$function$;
COMMENT ON FUNCTION pgscore.answer_of_graph(jsonb, text[]) IS
    'SQL of what a function of an ONNX version gives, from SQL of the outputs of its graph that it is made of. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.outputs_in_batches(source regclass, called record, others text[])
RETURNS TABLE (written text, function jsonb, place text, outputs integer[])
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF NOT pgscore.scores_in_batches(called) THEN
        RETURN;
    END IF;
    FOR function, place, outputs IN
        SELECT f, 'output_' || (f ->> 'suffix'), ARRAY(SELECT i::integer FROM jsonb_array_elements_text(f -> 'outputs') AS i)
        FROM jsonb_array_elements(called.functions) AS f
        WHERE f ->> 'suffix' <> ''
    LOOP
        written := format('%s AS %I', pgscore.score_expression(source, called, '_' || (function ->> 'suffix')), place);
        CONTINUE WHEN written <> ALL (others);
        -- In arrays of labels, each target has labels of its own, which its function alone knows.
        IF right(function ->> 'result', 2) <> '[]' AND cardinality(outputs) = 1
           OR function ->> 'result' = 'double precision[]' AND function ->> 'method' <> 'predict(X)'
              AND cardinality(outputs) BETWEEN 1 AND 100
        THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$function$;
COMMENT ON FUNCTION pgscore.outputs_in_batches(regclass, record, text[]) IS
    'Of others (of target_columns), as written there, those that are functions of an ONNX version which a refresh makes of the outputs of its '
    'graph, without calling them for each row. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.scored_query(
    source regclass, key_columns text[], called record, challenger record DEFAULT NULL, others text[] DEFAULT '{}',
    among text DEFAULT NULL, only_if text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    batch_rows CONSTANT integer := 10000;
    -- A page has 300 rows at most, a batch a million.
    most_pages CONSTANT integer := 3000;
    range CONSTANT text := 'r.ctid >= p.first AND r.ctid < p.behind';
    read text;
    answers text[] := ARRAY(SELECT 's.k' || n FROM generate_series(1, cardinality(key_columns)) AS n);
    -- What is scored in batches: its column, and the call.
    graphs text[] := '{}';
    calls text[] := '{}';
    columns text;
    fields text;
    parts bigint[];
    rows double precision;
    pages bigint;
    step bigint;
BEGIN
    IF pgscore.scores_in_batches(called) THEN
        graphs := graphs || 'score'::text;
        calls := calls || format(
            'score.%I(array_agg(b.score_features), %s) AS score', called.name || '_outputs', called.main -> 'outputs' ->> 0);
        answers := answers || format('%s AS score', pgscore.answer_of_graph(called.main, '{s.score}'));
    ELSE
        answers := answers || 's.score'::text;
    END IF;
    IF challenger IS NOT NULL THEN
        IF pgscore.scores_in_batches(challenger) THEN
            graphs := graphs || 'challenger'::text;
            calls := calls || format(
                'score.%I(array_agg(b.challenger_features), %s) AS challenger',
                challenger.name || '_outputs', challenger.main -> 'outputs' ->> 0);
            answers := answers || format('%s AS challenger', pgscore.answer_of_graph(challenger.main, '{s.challenger}'));
        ELSE
            answers := answers || 's.challenger'::text;
        END IF;
        answers := answers || 's.canary'::text;
    END IF;
    IF graphs = '{}' THEN
        RETURN pgscore.scoring_query(source, key_columns, called, challenger, others, among, only_if);
    END IF;
    -- The runtime keeps the outputs of the last batch: that there are several calls costs no more than that.
    SELECT
        graphs || coalesce(array_agg(DISTINCT 'o' || i), '{}'),
        calls || coalesce(
            array_agg(DISTINCT format('score.%I(array_agg(b.score_features), %s) AS o%2$s', called.name || '_outputs', i)), '{}')
    INTO graphs, calls
    FROM pgscore.outputs_in_batches(source, called, others) AS o
    CROSS JOIN LATERAL unnest(o.outputs) AS i;
    answers := answers || ARRAY(
        SELECT CASE
            WHEN b.place IS NULL THEN 's.' || (regexp_match(o.written, ' AS ("?[a-z0-9_]+"?)$'))[1]
            ELSE format('%s AS %I', pgscore.answer_of_graph(
                b.function, ARRAY(SELECT 's.o' || i FROM unnest(b.outputs) WITH ORDINALITY AS u (i, n) ORDER BY u.n)), b.place)
        END
        FROM unnest(others) WITH ORDINALITY AS o (written, n)
        LEFT JOIN pgscore.outputs_in_batches(source, called, others) AS b USING (written)
        ORDER BY o.n);
    others := ARRAY(
        SELECT o.written
        FROM unnest(others) WITH ORDINALITY AS o (written, n)
        WHERE o.written NOT IN (SELECT b.written FROM pgscore.outputs_in_batches(source, called, others) AS b)
        ORDER BY o.n);
    read := pgscore.scoring_query(source, key_columns, called, challenger, others, among, only_if);

    -- A table is read batch by batch. Anything else is read once: for a batch it would be read as a whole.
    DROP TABLE IF EXISTS pg_temp.pgscore_staged;
    parts := CASE WHEN among IS NULL THEN pgscore.pages_of(source) END;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_staged ON COMMIT DROP AS %s WITH %s DATA', read, CASE WHEN parts IS NOT NULL THEN 'NO' END);
    IF parts IS NULL THEN
        GET DIAGNOSTICS rows = ROW_COUNT;
        parts := pgscore.pages_of('pg_temp.pgscore_staged');
        read := 'SELECT r.* FROM pg_temp.pgscore_staged AS r WHERE ' || range;
    ELSE
        rows := pgscore.estimated_rows('SELECT FROM ' || source);
        read := pgscore.scoring_query(
            source, key_columns, called, challenger, others, NULL, concat_ws(' AND ', '(' || only_if || ')', range));
    END IF;
    SELECT max(p), greatest(1, least(batch_rows * max(p) / greatest(rows, 1), most_pages / greatest(count(*), 1)))
    INTO pages, step
    FROM unnest(parts) AS p;
    SELECT
        string_agg(CASE WHEN f.is_input THEN 'NULL' ELSE format('b.%I', a.attname) END, ', ' ORDER BY a.attnum),
        string_agg(format('(u.staged).%I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE NOT f.is_input)
    INTO columns, fields
    FROM pg_attribute AS a
    CROSS JOIN LATERAL (SELECT a.attname IN (SELECT g || '_features' FROM unnest(graphs) AS g)) AS f (is_input)
    WHERE a.attrelid = 'pg_temp.pgscore_staged'::regclass AND a.attnum > 0;
    -- One statement, so one snapshot, in which the last range has no end: pages may have been added since they were counted.
    -- Aggregates over the same rows take them in the same order: rows and answers need no join, which would cost as much as
    -- a small graph. In a list of columns, unnest gives them one by one; in FROM it would store them all.
    RETURN format(
        $batches$
        SELECT %1$s
        FROM (
            SELECT %2$s, %3$s
            FROM (
                SELECT unnest(sent.staged) AS staged, %4$s
                FROM (
                    SELECT format('(%%s,0)', g)::tid AS first,
                           CASE WHEN g + %5$s < %6$s THEN format('(%%s,0)', g + %5$s) ELSE '(4294967295,0)' END::tid AS behind
                    FROM generate_series(0::bigint, greatest(%6$s - 1, 0), %5$s) AS g
                ) AS p
                CROSS JOIN LATERAL (
                    SELECT array_agg(ROW(%7$s)::pg_temp.pgscore_staged) AS staged, %8$s
                    FROM (%9$s) AS b
                    HAVING count(*) > 0
                ) AS sent
            ) AS u
        ) AS s
        $batches$,
        array_to_string(answers, ', '), fields, (SELECT string_agg('u.' || g, ', ') FROM unnest(graphs) AS g),
        (SELECT string_agg(format('unnest(sent.%1$I) AS %1$I', g), ', ') FROM unnest(graphs) AS g),
        step, pages, columns, array_to_string(calls, ', '), read);
END
$function$;
COMMENT ON FUNCTION pgscore.scored_query(regclass, text[], record, record, text[], text, text) IS
    'The query that gives keys k1, k2, …, score, the others (of target_columns), and with a challenger (of challenger_to_run) '
    'challenger and canary; of all rows, or those of among and only_if, as in scoring_query. Where a version is scored in batches, it '
    'reads the source in stretches of about 10,000 rows, or the temporary table pgscore_staged, which is made here. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.score_source(
    source regclass, key_columns text[], called record, challenger record DEFAULT NULL, others text[] DEFAULT '{}',
    among text DEFAULT NULL, only_if text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    DROP TABLE IF EXISTS pg_temp.pgscore_scored;
    EXECUTE 'CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS '
        || pgscore.scored_query(source, key_columns, called, challenger, others, among, only_if);
    DROP TABLE IF EXISTS pg_temp.pgscore_staged;
END
$function$;
COMMENT ON FUNCTION pgscore.score_source(regclass, text[], record, record, text[], text, text) IS
    'Makes the temporary table pgscore_scored of what scored_query gives. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.chunk_query(source regclass, key_columns text[], called record, challenger record, others text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN format('%s: %s', source::oid, pgscore.scoring_query(source, key_columns, called, challenger, others));
END
$function$;
COMMENT ON FUNCTION pgscore.chunk_query(regclass, text[], record, record, text[]) IS
    'What all chunks of a run have in common: the source, whatever it is called, and all that decides a score. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.score_part(
    job text, part integer, among text DEFAULT NULL, only_if text DEFAULT NULL, OUT query text, OUT rows bigint
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
DECLARE
    it record;
    called record;
    challenger record;
    form record;
    others record;
    source regclass;
    build pgscore.builds;
    is_built boolean;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    SELECT c.* INTO challenger FROM pgscore.challenger_to_run(job) AS c WHERE c.version <> called.version;
    IF NOT FOUND THEN
        challenger := NULL;
    END IF;
    source := to_regclass(it.source);
    IF source IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('the source of refresh job %s is gone: %s', job, it.source),
            HINT = 'drop the job and create it anew';
    END IF;
    SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
    SELECT
        coalesce(array_agg(c.place), '{}') AS places,
        coalesce(array_agg(format('%s AS %I', c.expression, c.place)), '{}') AS expressions
    INTO others
    FROM pgscore.target_columns(source, it.key_columns, called, challenger, form) AS c;
    query := pgscore.chunk_query(source, it.key_columns, called, challenger, others.expressions);
    IF part IS NULL THEN
        RETURN;
    END IF;
    IF query IS DISTINCT FROM (SELECT c.query FROM pgscore.chunked_run_of(job) AS c) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s scores otherwise than when this run began', job),
            HINT = 'another version was promoted, or the job changed: run it again';
    END IF;
    PERFORM set_config('lock_timeout', l.lock_timeout, true)
    FROM pgscore.limits_of(job) AS l
    WHERE l.lock_timeout IS NOT NULL;
    -- A killed run may have left one.
    SELECT b.* INTO build
    FROM pgscore.build_of(job) AS b
    WHERE b.is_open AND (SELECT c.one_snapshot FROM pgscore.chunked_run_of(job) AS c);
    is_built := FOUND;
    IF is_built THEN
        BEGIN
            rows := pgscore.insert_built(
                it.target::regclass, cardinality(it.key_columns), others.places,
                format('(%s)', pgscore.scored_query(
                    source, it.key_columns, called, challenger, others.expressions, among, only_if)),
                build);
            RETURN;
        EXCEPTION WHEN data_exception THEN
            -- Some row raises it: score_or_fail finds out which.
        END;
    END IF;
    PERFORM pgscore.score_or_fail(source, it.key_columns, called, challenger, others.expressions, among, only_if);
    SELECT count(*) INTO rows FROM pg_temp.pgscore_scored;
    IF is_built THEN
        PERFORM pgscore.insert_built(
            it.target::regclass, cardinality(it.key_columns), others.places, 'pg_temp.pgscore_scored', build);
        DELETE FROM pg_temp.pgscore_scored AS s WHERE s.reason IS NULL;
    END IF;
    EXECUTE format(
        'INSERT INTO %s SELECT %s, s.* FROM pg_temp.pgscore_scored AS s', pgscore.make_staging(job, current_user::text), part);
    DROP TABLE pg_temp.pgscore_scored;
END
$function$;
COMMENT ON FUNCTION pgscore.score_part(text, integer, text, text) IS
    'Scores rows of the source into the staging table, those of among and only_if as in scoring_query; part is their number '
    'there. Where several connections write the table that is to be swapped in, into that one, and only those whose scoring failed into the staging table. '
    'Gives the query that all parts have in common: where part is NULL, only that. Part of run_job';
