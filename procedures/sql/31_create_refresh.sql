-- Creating a refresh job: what it is given is checked, and its target made where there is none.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.check_target(
    target regclass, source regclass, key_columns text[], result text, names text[] DEFAULT '{}', types text[] DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wrong record;
BEGIN
    SELECT w.name, w.type, format_type(t.atttypid, t.atttypmod) AS is_now INTO wrong
    FROM (
        SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = ANY (key_columns)
        UNION ALL
        VALUES ('score', result), ('model_version', 'integer'), ('scored_at', 'timestamp with time zone')
        UNION ALL
        SELECT * FROM unnest(names, types)
    ) AS w (name, type)
    LEFT JOIN pg_attribute AS t
        ON t.attrelid = target AND t.attname = w.name AND t.attnum > 0 AND NOT t.attisdropped
    WHERE format_type(t.atttypid, t.atttypmod) IS DISTINCT FROM w.type
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = CASE
                WHEN wrong.is_now IS NULL THEN format('%s has no column %I, of type %s', target, wrong.name, wrong.type)
                ELSE format('column %I of %s is %s; it must be %s', wrong.name, target, wrong.is_now, wrong.type)
            END,
            HINT = 'create_refresh makes a fitting table where none of the name exists';
    END IF;
    PERFORM FROM pg_index AS i
    WHERE i.indrelid = target AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
      AND (SELECT array_agg(a.attname::text ORDER BY a.attname)
           FROM pg_attribute AS a
           WHERE a.attrelid = target AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
          = (SELECT array_agg(k ORDER BY k) FROM unnest(key_columns) AS k);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no primary key or unique index on %s', target, array_to_string(key_columns, ', '));
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_target(regclass, regclass, text[], text, text[], text[]) IS
    'Raises unless the table can hold the predictions of a job: its keys, score, model_version, scored_at, and the columns '
    'called names. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.target_place(target text)
RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place text[];
    wrong text;
BEGIN
    BEGIN
        place := parse_ident(target);
    EXCEPTION WHEN invalid_parameter_value THEN
        place := NULL;
    END;
    IF coalesce(cardinality(place), 0) <> 2 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a target', target),
            HINT = 'write schema.table, such as public.churn_scores';
    END IF;
    SELECT k INTO wrong FROM unnest(place) AS k WHERE octet_length(k) NOT BETWEEN 1 AND 63 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%I in the target is longer than 63 bytes', wrong),
            HINT = 'PostgreSQL would cut it off, and two jobs could share a table';
    END IF;
    RETURN place;
END
$function$;
COMMENT ON FUNCTION pgscore.target_place(text) IS
    'The schema and the name of a target; raises where the text is no qualified name. Part of create_refresh';

CREATE OR REPLACE FUNCTION pgscore.view_beside(job text, target text, suffix text, says text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place CONSTANT text[] := pgscore.target_place(target);
    view CONSTANT text := format('%I.%I', place[1], place[2] || suffix);
BEGIN
    IF octet_length(place[2] || suffix) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('the view %s%s would have a name longer than 63 bytes', target, suffix),
            HINT = 'give the target a shorter name';
    END IF;
    IF to_regclass(view) IS NOT NULL
       AND split_part(obj_description(to_regclass(view), 'pg_class'), E'\n', 1) IS DISTINCT FROM says
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%s exists already, and is not the view of refresh job %s', view, job),
            HINT = 'rename or drop it, or give the target another name';
    END IF;
    RETURN view;
END
$function$;
COMMENT ON FUNCTION pgscore.view_beside(text, text, text, text) IS
    'The name of a view that a job is to have beside its target; raises where something else has it: anything whose comment does '
    'not begin with the line that says whose it is. Part of create_refresh';

CREATE OR REPLACE FUNCTION pgscore.create_refresh(
    job text, model text, source regclass, keys text[], target text, alias text DEFAULT 'live', mode text DEFAULT 'full',
    target_lag interval DEFAULT NULL, every interval DEFAULT NULL,
    outputs text[] DEFAULT '{}', top integer DEFAULT NULL, per text[] DEFAULT NULL, order_by text DEFAULT NULL,
    keep integer DEFAULT NULL, diverse text DEFAULT NULL, max_per integer DEFAULT NULL, eligible regclass DEFAULT NULL,
    carry text[] DEFAULT '{}', vanished text DEFAULT 'remove',
    changes text DEFAULT NULL, watermark text DEFAULT NULL, lookback interval DEFAULT NULL,
    backfill_first text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    called record;
    place text[];
    target_name text;
    wrong text;
    columns text;
    form record;
    names text[];
    types text[];
    expressions text[];
BEGIN
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(model, alias) AS v;
    IF (SELECT c.relkind NOT IN ('r', 'p', 'v', 'm', 'f') FROM pg_class AS c WHERE c.oid = source) THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('%s is no table and no view', source);
    END IF;
    IF coalesce(cardinality(keys), 0) = 0 OR array_position(keys, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('refresh job %s needs its key columns', job);
    END IF;
    SELECT k INTO wrong FROM unnest(keys) AS k WHERE k IN ('score', 'model_version', 'scored_at') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('a key cannot be called %I, as a column of the target is', wrong),
            HINT = 'a view over the source can give it another name';
    END IF;
    SELECT k INTO wrong
    FROM unnest(keys) AS k
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('%s has no column %I to be the key', source, wrong);
    END IF;
    place := pgscore.target_place(target);
    target_name := format('%I.%I', place[1], place[2]);

    SELECT
        ARRAY(SELECT o FROM unnest(create_refresh.outputs) AS o WHERE o <> 'score') AS outputs,
        create_refresh.top,
        CASE WHEN create_refresh.top IS NULL THEN create_refresh.keep ELSE coalesce(create_refresh.keep, create_refresh.top) END AS keep,
        CASE
            WHEN create_refresh.top IS NULL THEN create_refresh.per
            WHEN called.main ? 'factors' THEN coalesce(nullif(create_refresh.per, '{}'), keys[1:1])
            ELSE coalesce(create_refresh.per, '{}')
        END AS per,
        CASE WHEN create_refresh.top IS NULL THEN create_refresh.order_by ELSE coalesce(create_refresh.order_by, 'score') END AS order_by,
        create_refresh.diverse,
        create_refresh.max_per,
        (SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid = create_refresh.eligible) AS eligible,
        coalesce(create_refresh.carry, '{}') AS carried,
        create_refresh.vanished = 'keep' AS keeps_vanished
    INTO form;
    IF vanished IS NULL OR vanished NOT IN ('remove', 'keep') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('rows whose key has vanished cannot be treated as %L', vanished),
            HINT = 'remove or keep';
    END IF;
    IF form.top IS NOT NULL AND mode = 'incremental' AND NOT called.main ? 'factors' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s ranks rows: a changed one can move all others of its group', job),
            HINT = 'mode full ranks';
    END IF;
    PERFORM pgscore.check_changes(job, source, mode, changes, watermark, lookback);
    PERFORM pgscore.check_target_form(job, source, keys, called, form);
    SELECT
        coalesce(array_agg(c.name), '{}'), coalesce(array_agg(c.type), '{}'),
        coalesce(array_agg(format('%s AS %I', c.expression, c.place)), '{}')
    INTO names, types, expressions
    FROM pgscore.target_columns(source, keys, called, NULL, form) AS c;

    IF mode <> 'incremental' AND backfill_first IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s scores every row in each run: backfill_first belongs to mode incremental', job);
    ELSIF backfill_first <> ALL (keys || names || 'score'::text) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s is to backfill by %I first, which its target does not have', job, backfill_first),
            HINT = 'it is score, a key column, an output or a carried column';
    END IF;

    -- Planning the query finds what else would stop a run: rights, and columns of types that do not fit.
    EXECUTE 'EXPLAIN ' || CASE
        WHEN form.top IS NOT NULL AND called.main ? 'factors' THEN pgscore.recommendation_query(job, source, keys, called, form)
        ELSE pgscore.scoring_query(source, keys, called, NULL, expressions)
    END;

    IF to_regclass(target_name) IS NULL THEN
        IF to_regnamespace(quote_ident(place[1])) IS NULL THEN
            EXECUTE format('CREATE SCHEMA %I', place[1]);
        END IF;
        SELECT string_agg(format('%I %s NOT NULL', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.n)
        INTO columns
        FROM unnest(keys) WITH ORDINALITY AS k (name, n)
        JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = k.name;
        EXECUTE format(
            'CREATE TABLE %s (%s, score %s, model_version integer NOT NULL, scored_at timestamptz NOT NULL%s, PRIMARY KEY (%s))%s',
            target_name, columns, called.main ->> 'result',
            (SELECT string_agg(format(', %I %s', c.name, c.type), '') FROM unnest(names, types) AS c (name, type)),
            (SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u (k, n)),
            -- For swaps (33_swapping.sql).
            CASE WHEN mode = 'full' THEN format(' PARTITION BY RANGE (%I)', keys[1]) END);
        IF mode = 'full' THEN
            EXECUTE format('CREATE TABLE %s PARTITION OF %s DEFAULT', pgscore.free_part(target_name), target_name);
        END IF;
        EXECUTE format('COMMENT ON TABLE %s IS %L', target_name, format('Predictions of model %s, by refresh job %s', model, job));
    END IF;
    IF backfill_first IS NOT NULL THEN
        -- Fails where the type has no order.
        EXECUTE format('EXPLAIN SELECT FROM %s AS r ORDER BY r.%I', target_name, backfill_first);
    END IF;
    PERFORM pgscore.check_target(target_name, source, keys, called.main ->> 'result', names, types);
    PERFORM pgscore.add_job(
        job, called.model_id, alias,
        (SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = source),
        keys, target_name, mode, current_user::text);
    PERFORM pgscore.set_schedule(job, target_lag, every);
    IF names <> '{}' THEN
        PERFORM pgscore.add_target_form(
            job, form.outputs, form.top, form.keep, form.per, form.order_by, form.diverse, form.max_per, form.eligible,
            form.carried, form.keeps_vanished);
    END IF;
    IF mode = 'incremental' THEN
        PERFORM pgscore.set_changes(
            job, coalesce(changes, 'triggers'), watermark,
            CASE WHEN changes = 'watermark' THEN coalesce(lookback, interval '10 min') END, backfill_first);
        PERFORM pgscore.watch_source(job, pgscore.columns_of_run(called, NULL, form.carried));
        IF changes = 'hash' THEN
            PERFORM pgscore.hash_of_inputs(job, source, (SELECT q.watched_columns FROM pgscore.queue_of(job) AS q));
        END IF;
    END IF;
    IF form.keep > form.top OR num_nonnulls(form.diverse, form.eligible) > 0 THEN
        PERFORM pgscore.make_top_view(job, target_name, keys, form);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.create_refresh(
    text, text, regclass, text[], text, text, text, interval, interval, text[], integer, text[], text, integer, text, integer,
    regclass, text[], text, text, text, interval, text) IS
    'Creates a refresh job: the version of model that alias means scores every row of source into target (schema.table), by '
    'the key columns. The target is created where it does not exist: the keys, score, model_version, scored_at, and a column '
    'for each of outputs, such as label, and of carry, columns of source; with vanished => keep, rows whose key source has no '
    'more stay, marked in vanished_at. In mode incremental a run scores the rows that changed, and changes says how it learns of '
    'them: by triggers on source (the default), by hash or by watermark (docs/refresh.md); after a promote it scores the rows with '
    'the largest backfill_first, a column of target, before others. With top, only the best rows per some of the key columns, with their rank (docs/recommendations.md). target_lag '
    'and every are those of set_schedule';
