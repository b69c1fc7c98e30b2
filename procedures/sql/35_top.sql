-- What the target of a refresh job holds beside the key, score, model_version and scored_at: more outputs of the version,
-- columns of the source that are carried along, the rank of each row where the job keeps the best rows only, and when a key
-- vanished where such rows are kept.
--
--   SELECT pgscore.create_refresh('recs', 'click', 'candidates', '{user_id,item_id}', 'predictions.recs',
--                                 top => 10, per => '{user_id}');
--   CALL pgscore.run_job('recs');
--   SELECT item_id FROM predictions.recs WHERE user_id = 7 ORDER BY rank;
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql. Messages hold no values of rows.

CREATE TABLE IF NOT EXISTS pgscore.target_forms (
    job_id   integer PRIMARY KEY
             CONSTRAINT target_forms_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    outputs  text[] NOT NULL,
    top      integer CONSTRAINT target_forms_top_is_a_count CHECK (top > 0),
    keep     integer,
    per      text[],
    order_by text,
    diverse  text,
    max_per  integer CONSTRAINT target_forms_max_per_is_a_count CHECK (max_per > 0),
    eligible text,
    carried  text[] NOT NULL DEFAULT '{}',
    keeps_vanished boolean NOT NULL DEFAULT false,
    CONSTRAINT target_forms_ranks_whole CHECK (num_nulls(top, keep, per, order_by) IN (0, 4)),
    CONSTRAINT target_forms_keeps_what_it_shows CHECK (keep >= top),
    CONSTRAINT target_forms_filters_ranks CHECK (top IS NOT NULL OR num_nulls(diverse, eligible) = 2),
    CONSTRAINT target_forms_diversity_is_whole CHECK (num_nulls(diverse, max_per) IN (0, 2)),
    CONSTRAINT target_forms_ranks_what_is_there CHECK (top IS NULL OR NOT keeps_vanished)
);
COMMENT ON TABLE pgscore.target_forms IS
    'Refresh jobs whose target holds more than the score: outputs, columns of the source, ranks, or vanished keys';
COMMENT ON COLUMN pgscore.target_forms.job_id IS 'The job';
COMMENT ON COLUMN pgscore.target_forms.outputs IS 'Functions of the version beside the main one, by suffix: label, proba';
COMMENT ON COLUMN pgscore.target_forms.top IS 'How many rows are shown; NULL: all, without a rank';
COMMENT ON COLUMN pgscore.target_forms.keep IS 'How many rows the target keeps: those to choose the shown ones from';
COMMENT ON COLUMN pgscore.target_forms.per IS 'The key columns within whose values rows are ranked; empty: all rows together';
COMMENT ON COLUMN pgscore.target_forms.order_by IS 'What ranks, the largest first: score, or a column of the source';
COMMENT ON COLUMN pgscore.target_forms.diverse IS 'The column of which at most max_per rows of one value are shown';
COMMENT ON COLUMN pgscore.target_forms.max_per IS 'How many';
COMMENT ON COLUMN pgscore.target_forms.eligible IS 'The table or view that says which rows may be shown, qualified and quoted';
COMMENT ON COLUMN pgscore.target_forms.carried IS 'Columns of the source that the target holds too';
COMMENT ON COLUMN pgscore.target_forms.keeps_vanished IS
    'Whether rows stay whose key the source has no more, marked in the target''s column vanished_at';

CREATE OR REPLACE FUNCTION pgscore.target_form(job text)
RETURNS TABLE (
    outputs text[], top integer, keep integer, per text[], order_by text, diverse text, max_per integer, eligible text,
    carried text[], keeps_vanished boolean
)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT
        coalesce(f.outputs, '{}'), f.top, f.keep, f.per, f.order_by, f.diverse, f.max_per, f.eligible, coalesce(f.carried, '{}'),
        coalesce(f.keeps_vanished, false)
    FROM pgscore.job_of(target_form.job) AS it
    LEFT JOIN pgscore.target_forms AS f USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.target_form(text) IS
    'What a job''s target holds beside the key, score, model_version and scored_at: one row. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.add_target_form(
    job text, outputs text[], top integer, keep integer, per text[], order_by text, diverse text, max_per integer, eligible text,
    carried text[], keeps_vanished boolean
)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.target_forms
    SELECT it.job_id, add_target_form.outputs, add_target_form.top, add_target_form.keep, add_target_form.per,
           add_target_form.order_by, add_target_form.diverse, add_target_form.max_per, add_target_form.eligible,
           add_target_form.carried, add_target_form.keeps_vanished
    FROM pgscore.job_of(add_target_form.job) AS it
$function$;
COMMENT ON FUNCTION pgscore.add_target_form(text, text[], integer, integer, text[], text, text, integer, text, text[], boolean) IS
    'Writes down the form of a job''s target, which check_target_form has checked. Part of create_refresh';

CREATE OR REPLACE FUNCTION pgscore.check_target_form(job text, source regclass, keys text[], called record, form record)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    problem text;
    wrong text;
    columns CONSTANT text[] := ARRAY(
        SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    problem := CASE
        WHEN form.top IS NULL AND num_nulls(form.per, form.order_by, form.keep, form.diverse, form.max_per, form.eligible) < 6
            THEN 'ranks nothing: per, order_by, keep, diverse, max_per and eligible belong to top'
        WHEN form.top < 1 THEN 'is to show the top rows of each: at least 1'
        WHEN form.keep < form.top THEN 'cannot keep fewer rows than it shows'
        WHEN NOT form.per <@ keys THEN 'ranks per columns of its key only'
        WHEN form.order_by <> 'score' AND form.order_by <> ALL (columns)
            THEN format('is to rank by %I, which %s does not have', form.order_by, source)
        WHEN form.top IS NOT NULL AND form.keeps_vanished THEN 'ranks the rows that are there: it keeps no vanished ones'
        WHEN NOT form.carried <@ columns
            THEN format('is to carry %s, which %s does not have', form.carried, source)
        WHEN form.diverse <> ALL (columns) THEN format('is to be diverse by %I, which %s does not have', form.diverse, source)
        WHEN num_nulls(form.diverse, form.max_per) = 1 OR form.max_per < 1
            THEN 'needs both for diversity: the column, and how many rows of one value may be shown'
        WHEN form.top IS NOT NULL AND form.order_by = 'score'
             AND (called.main ->> 'result' NOT IN ('double precision', 'integer', 'bigint') OR called.main ->> 'labels' IS NOT NULL)
            THEN format('cannot rank by the score: %s gives labels or arrays', called.name)
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('refresh job %s %s', job, problem), HINT = 'see docs/recommendations.md';
    END IF;
    SELECT n INTO wrong
    FROM unnest(
        keys || form.outputs || form.carried || CASE WHEN form.diverse <> ALL (keys) THEN form.diverse END
        || ARRAY['score', 'model_version', 'scored_at', CASE WHEN form.top IS NOT NULL THEN 'rank' END,
                 CASE WHEN form.keeps_vanished THEN 'vanished_at' END]) AS n
    WHERE n IS NOT NULL
    GROUP BY n
    HAVING count(*) > 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('the target of refresh job %s would have two columns %I', job, wrong),
            HINT = 'a view over the source can give a column another name';
    END IF;
    IF form.eligible IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass(form.eligible) AND a.attname = ANY (keys) AND NOT a.attisdropped)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no column of the key of refresh job %s', form.eligible, job),
            HINT = 'a row may be shown where the key columns that it has are found in it';
    END IF;
    FOREACH wrong IN ARRAY form.carried LOOP
        BEGIN
            EXECUTE format('EXPLAIN SELECT FROM %s AS r WHERE r.%I IS DISTINCT FROM r.%2$I', source, wrong);
        EXCEPTION WHEN undefined_function THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS004',
                MESSAGE = format('refresh job %s cannot carry %I: values of its type cannot be compared', job, wrong),
                HINT = 'a view over the source can cast it, json to jsonb say';
        END;
    END LOOP;
    IF form.top IS NOT NULL AND form.order_by <> 'score' THEN
        -- Fails where the type has no order.
        EXECUTE format('EXPLAIN SELECT FROM %s AS r ORDER BY r.%I', source, form.order_by);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_target_form(text, regclass, text[], record, record) IS
    'Raises unless the form that a job''s target is to have makes sense for source and version. Part of create_refresh';

CREATE OR REPLACE FUNCTION pgscore.output_of_canary(
    source regclass, key_columns text[], challenger record, name text, type text, expression text
)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    other text;
BEGIN
    IF challenger.canary = 0 THEN
        RETURN expression;
    END IF;
    other := pgscore.type_of_output(challenger.name, name);
    IF other <> type THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('output %s is %s, that of the challenger %s is %s', name, type, challenger.name, other),
            HINT = 'take the challenger away, or its canary: pgscore.set_challenger';
    END IF;
    RETURN format(
        'CASE WHEN %s THEN %s ELSE %s END',
        pgscore.canary_condition(challenger.model, key_columns, challenger.canary),
        pgscore.score_expression(source, challenger, '_' || name), expression);
END
$function$;
COMMENT ON FUNCTION pgscore.output_of_canary(regclass, text[], record, text, text, text) IS
    'SQL of an output: the challenger''s for the canary, else expression, which is live''s. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.target_columns(
    source regclass, key_columns text[], called record, challenger record, form record
)
RETURNS TABLE (name text, type text, expression text, place text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asked text;
BEGIN
    FOREACH asked IN ARRAY form.outputs LOOP
        name := asked;
        type := pgscore.type_of_output(called.name, asked);
        expression := pgscore.score_expression(source, called, '_' || asked);
        IF challenger IS NOT NULL THEN
            expression := pgscore.output_of_canary(source, key_columns, challenger, name, type, expression);
        END IF;
        place := 'output_' || asked;
        RETURN NEXT;
    END LOOP;
    FOR name, type, expression, place IN
        SELECT u.name, format_type(a.atttypid, a.atttypmod), format('r.%I', u.name), u.place
        FROM (
            SELECT form.diverse AS name, 'diverse' AS place WHERE form.diverse <> ALL (key_columns)
            UNION ALL
            SELECT c.name, 'carried_' || c.n FROM unnest(form.carried) WITH ORDINALITY AS c (name, n)
        ) AS u
        LEFT JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = u.name AND a.attnum > 0
    LOOP
        RETURN NEXT;
    END LOOP;
    IF form.keeps_vanished THEN
        -- Of a row that is there.
        name := 'vanished_at';
        type := 'timestamp with time zone';
        expression := 'NULL::timestamptz';
        place := 'vanished_at';
        RETURN NEXT;
    END IF;
    IF form.top IS NOT NULL THEN
        name := 'rank';
        type := 'integer';
        expression := CASE WHEN form.order_by <> 'score' THEN format('r.%I', form.order_by) ELSE 'NULL::integer' END;
        place := 'rank';
        RETURN NEXT;
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.target_columns(regclass, text[], record, record, record) IS
    'The columns of a job''s target beside its key, score, model_version and scored_at: SQL of each for the row r of the '
    'source, and place, its column in pgscore_scored. In rank, score_source puts what ranks, rank_scored the rank. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.type_of_output(name text, suffix text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    type CONSTANT text := (
        SELECT min(format_type(p.prorettype, NULL))
        FROM pg_proc AS p
        WHERE p.oid = ANY (pgscore.functions_named(ARRAY[name || '_' || suffix]))
          AND suffix ~ '^[a-z]+$' AND suffix NOT IN ('features', 'outputs'));
BEGIN
    IF type IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no output %L', name, suffix),
            HINT = 'pgscore show lists the functions of a version: of score.churn_label, the output is label';
    END IF;
    RETURN type;
END
$function$;
COMMENT ON FUNCTION pgscore.type_of_output(text, text) IS
    'What a function of a version gives, beside the main one, by its suffix; raises where there is none. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.rank_scored(key_columns text[], score text, form record)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    value CONSTANT text := CASE WHEN form.order_by = 'score' THEN score ELSE 's.rank' END;
BEGIN
    -- The column that ranks becomes the rank: its type is another one.
    EXECUTE format(
        $rank$
        CREATE TEMPORARY TABLE pgscore_ranked ON COMMIT DROP AS
        SELECT r.*
        FROM (
            SELECT s.*, (row_number() OVER (%1$s ORDER BY %2$s DESC, %3$s))::integer AS place_of_row
            FROM pg_temp.pgscore_scored AS s
            WHERE %4$s IS NOT NULL AND %2$s IS NOT NULL
        ) AS r
        WHERE r.place_of_row <= %5$s
        $rank$,
        (SELECT 'PARTITION BY ' || string_agg('s.k' || array_position(key_columns, p), ', ') FROM unnest(form.per) AS p),
        value,
        (SELECT string_agg('s.k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n),
        score, form.keep);
    ALTER TABLE pg_temp.pgscore_ranked DROP COLUMN rank;
    ALTER TABLE pg_temp.pgscore_ranked RENAME COLUMN place_of_row TO rank;
    DROP TABLE pg_temp.pgscore_scored;
    ALTER TABLE pg_temp.pgscore_ranked RENAME TO pgscore_scored;
END
$function$;
COMMENT ON FUNCTION pgscore.rank_scored(text[], text, record) IS
    'Leaves of the temporary table pgscore_scored the rows that a top job keeps, with their rank. The largest value comes '
    'first, equal ones in the order of the key; rows without one, or without a score, are left out. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.make_top_view(job text, target text, keys text[], form record)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    says CONSTANT text := format('What refresh job %s shows of %s', job, target);
    view CONSTANT text := pgscore.view_beside(job, target, '_top', says);
    partition CONSTANT text := (SELECT string_agg(format('t.%I', p), ', ' ORDER BY n) FROM unnest(form.per) WITH ORDINALITY AS u (p, n));
BEGIN
    -- With the rights of who reads it: row security of the target holds in it too.
    EXECUTE format(
        $view$
        CREATE OR REPLACE VIEW %s WITH (security_invoker) AS
        SELECT %s, t.shown AS rank, t.score, t.model_version, t.scored_at%s
        FROM (
            SELECT t.*, (row_number() OVER (%s ORDER BY t.rank))::integer AS shown
            FROM (
                SELECT t.*, %s AS of_its_kind
                FROM %s AS t
                %s
            ) AS t
            WHERE t.of_its_kind <= %s
        ) AS t
        WHERE t.shown <= %s
        $view$,
        view,
        (SELECT string_agg(format('t.%I', k), ', ' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u (k, n)),
        (SELECT string_agg(format(', t.%I', o), '')
         FROM unnest(form.outputs || CASE WHEN form.diverse <> ALL (keys) THEN form.diverse END || form.carried) AS o
         WHERE o IS NOT NULL),
        'PARTITION BY ' || partition,
        CASE WHEN form.diverse IS NULL THEN '1'
             ELSE format('row_number() OVER (PARTITION BY %s ORDER BY t.rank)', concat_ws(', ', partition, format('t.%I', form.diverse))) END,
        target,
        (SELECT format('WHERE EXISTS (SELECT FROM %s AS e WHERE %s)', form.eligible,
                       string_agg(format('e.%I = t.%1$I', a.attname), ' AND ' ORDER BY a.attnum))
         FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass(form.eligible) AND a.attname = ANY (keys) AND NOT a.attisdropped
         HAVING count(*) > 0),
        coalesce(form.max_per, 1), form.top);
    EXECUTE format('COMMENT ON VIEW %s IS %L', view, says);
END
$function$;
COMMENT ON FUNCTION pgscore.make_top_view(text, text, text[], record) IS
    'Makes the view TARGET_top: of the rows that the target keeps, the eligible ones, of them at most max_per of each value of '
    'the diverse column, of them the first N, ranked anew. Part of create_refresh';
