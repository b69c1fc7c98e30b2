-- Refresh: jobs that keep a prediction table in step with its source. They work from psql alone:
--
--   SELECT pgscore.create_refresh('churn_daily', 'churn', 'customers', '{customer_id}', 'public.churn_scores');
--   CALL pgscore.refresh('churn_daily');
--   SELECT * FROM pgscore.freshness;
--
-- A run is one transaction. It scores the source from one snapshot into a temporary table, then writes the difference:
-- readers see the old predictions until all new ones are there, wait for nothing, and what depends on the target stays.
-- A run that fails leaves the target as it was.
--
-- Rights. Reading the source and writing the target is done as the caller (SECURITY INVOKER). The catalog is behind small
-- functions that run as the owner; they let a job be changed or recorded by members of the role that created it.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.score_expression(source regclass, called record, suffix text DEFAULT '')
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- The table whose rows the version's function takes, whatever it is called by now.
    bound CONSTANT regclass := (
        SELECT t.typrelid
        FROM pg_proc AS p
        JOIN pg_type AS t ON t.oid = p.proargtypes[0]
        WHERE p.oid = ANY (pgscore.functions_named(ARRAY[called.name])) AND p.pronargs = 1 AND t.typtype = 'c');
    name CONSTANT text := called.name || suffix;
    missing text;
    arguments text;
BEGIN
    SELECT p."column" INTO missing
    FROM jsonb_to_recordset(called.parameters) AS p ("column" text)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = p."column" AND a.attnum > 0 AND NOT a.attisdropped)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no column %I, which %s reads', source, missing, called.name),
            HINT = 'a view can give the columns the names that they have in the table of the model';
    END IF;
    IF source = bound THEN
        -- A mere r would be the column, in a source that has one of that name.
        RETURN format('score.%I(r.*)', name);
    END IF;
    IF jsonb_array_length(called.parameters) <= 100 THEN
        SELECT string_agg(format('%I => (r.%I)::%s', p.name, p."column", p.type), ', ') INTO arguments
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text);
        RETURN format('score.%I(%s)', name, arguments);
    END IF;
    -- PostgreSQL takes 100 arguments at most: the row of the table is put together.
    SELECT string_agg(
        CASE
            WHEN p."column" IS NULL THEN 'NULL'
            ELSE format('(r.%I)::%s', a.attname, format_type(a.atttypid, a.atttypmod))
        END,
        ', ' ORDER BY a.attnum)
    INTO arguments
    FROM pg_attribute AS a
    LEFT JOIN jsonb_to_recordset(called.parameters) AS p ("column" text) ON p."column" = a.attname
    WHERE a.attrelid = bound AND a.attnum > 0 AND NOT a.attisdropped;
    RETURN format('score.%I(ROW(%s)::%s)', name, arguments, bound);
END
$function$;
COMMENT ON FUNCTION pgscore.score_expression(regclass, record, text) IS
    'SQL that calls a version''s function (of version_to_run; the main one, or that of a suffix such as _features) for the '
    'row r of a relation. Part of refresh';

CREATE OR REPLACE PROCEDURE pgscore.refresh(
    job text,
    INOUT run_id bigint DEFAULT NULL,
    INOUT version integer DEFAULT NULL,
    INOUT rows_scored bigint DEFAULT NULL,
    INOUT rows_inserted bigint DEFAULT NULL,
    INOUT rows_updated bigint DEFAULT NULL,
    INOUT rows_deleted bigint DEFAULT NULL,
    INOUT rows_refused bigint DEFAULT NULL
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $procedure$
DECLARE
    started CONSTANT timestamptz := clock_timestamp();
    it record;
    called record;
    result text;
    source regclass;
    target regclass;
    same_key text;
    keys text;
    new_keys text;
    is_empty boolean;
    challenger record;
    comparing boolean;
    comparison pgscore.comparisons;
    -- What is written of a row s.
    score text := 's.score';
    by_version text := '$1';
    -- Of an incremental job: whether its triggers see all, the versions that the target is to be of, which rows are not.
    watching text;
    by_versions text;
    outdated text;
    left_over bigint := 0;
    is_partial boolean := false;
    among text;
    page_cost CONSTANT text := current_setting('random_page_cost');
    reads text[];
    form record;
    names text[];
    types text[];
    places text[];
    expressions text[];
    changes text;
    differs text;
    segments jsonb;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    IF NOT pg_try_advisory_xact_lock(hashtext('pgscore.refresh'), it.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s is running already', job),
            HINT = 'wait for it to end',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    -- Versions are looked up once, and their own functions are called: a promote meanwhile changes nothing in this run.
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    SELECT c.* INTO challenger FROM pgscore.challenger_to_run(job) AS c WHERE c.version <> called.version;
    comparing := FOUND;
    version := called.version;
    result := called.main ->> 'result';
    source := to_regclass(it.source);
    target := to_regclass(it.target);
    IF source IS NULL OR target IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('the %s of refresh job %s is gone: %s',
                             CASE WHEN source IS NULL THEN 'source' ELSE 'target' END, job,
                             CASE WHEN source IS NULL THEN it.source ELSE it.target END),
            HINT = 'drop the job and create it anew';
    END IF;
    SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
    SELECT
        coalesce(array_agg(c.name), '{}'), coalesce(array_agg(c.type), '{}'), coalesce(array_agg(c.place), '{}'),
        coalesce(array_agg(format('%s AS %I', c.expression, c.place)), '{}'),
        coalesce(string_agg(format(', %I = s.%I', c.name, c.place), ''), ''),
        coalesce(string_agg(format(' OR t.%I IS DISTINCT FROM s.%I', c.name, c.place), ''), '')
    INTO names, types, places, expressions, changes, differs
    FROM pgscore.target_columns(source, it.key_columns, called, challenger, form) AS c;
    PERFORM pgscore.check_target(target, source, it.key_columns, result, names, types);
    SELECT
        string_agg(format('t.%I = s.k%s', k.name, k.n), ' AND ' ORDER BY k.n),
        string_agg(quote_ident(k.name), ', ' ORDER BY k.n),
        string_agg('s.k' || k.n, ', ' ORDER BY k.n)
    INTO same_key, keys, new_keys
    FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n);

    IF comparing THEN
        PERFORM pgscore.check_challenger(job, called, challenger);
    END IF;
    IF pgscore.is_incremental(job) THEN
        by_versions := version;
        outdated := format('r.model_version <> %s', version);
        reads := pgscore.columns_read(called.parameters);
        IF comparing THEN
            reads := reads || pgscore.columns_read(challenger.parameters);
            IF challenger.canary > 0 THEN
                by_versions := format('%s, %s of the keys with %s', version, challenger.canary, challenger.version);
                outdated := format(
                    'r.model_version <> CASE WHEN %s THEN %s ELSE %s END',
                    pgscore.canary_condition(it.model, it.key_columns, challenger.canary), challenger.version, version);
            END IF;
        END IF;
        -- That the source lacks a column is said before its triggers are asked for it.
        PERFORM pgscore.scoring_query(source, it.key_columns, called, challenger);
        watching := pgscore.watch_source(job, reads);
        IF watching = 'set up' THEN
            -- Writers wait until this transaction ends: no time for more.
            SELECT 0, 0, 0, 0, 0 INTO rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused;
            run_id := pgscore.record_run(job, started, version, 0, 0, 0, 0, 0);
            RETURN;
        END IF;
        is_partial := pgscore.stage_changes(job, it.key_columns, target, by_versions, outdated) AND watching = 'watched';
        IF watching = 'blind' THEN
            PERFORM pgscore.queue_everything(job);
        END IF;
    END IF;
    IF is_partial THEN
        among := 'pg_temp.pgscore_changed';
        -- Keys in order lead to pages in order.
        PERFORM set_config('random_page_cost', '1.1', true);
        -- The figures of a comparison are of all rows.
        comparing := comparing AND challenger.canary > 0;
    END IF;

    IF comparing THEN
        PERFORM pgscore.score_source(source, it.key_columns, called, challenger, expressions, among);
        score := 'CASE WHEN s.canary THEN s.challenger ELSE s.score END';
        by_version := 'CASE WHEN s.canary THEN $2 ELSE $1 END';
        comparison.challenger_version := challenger.version;
    ELSE
        PERFORM pgscore.score_source(source, it.key_columns, called, NULL, expressions, among);
    END IF;
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %s IS NULL) FROM pg_temp.pgscore_scored AS s', score)
    INTO rows_scored, rows_refused;
    BEGIN
        EXECUTE format('ALTER TABLE pg_temp.pgscore_scored ADD PRIMARY KEY (%s)', replace(new_keys, 's.', ''));
    EXCEPTION WHEN unique_violation OR not_null_violation THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('the key (%s) of %s %s', keys, source,
                             CASE SQLSTATE WHEN '23505' THEN 'is not unique' ELSE 'is NULL in some rows' END),
            HINT = format('refresh job %s needs columns that identify a row', job);
    END;
    IF comparing AND NOT is_partial THEN
        comparison := pgscore.compare_scores(cardinality(it.key_columns), called, challenger);
    END IF;
    IF form.top IS NOT NULL THEN
        PERFORM pgscore.rank_scored(it.key_columns, score, form);
    END IF;
    SELECT
        keys || coalesce(string_agg(', ' || quote_ident(c.name), '' ORDER BY c.n), ''),
        new_keys || coalesce(string_agg(', s.' || quote_ident(c.place), '' ORDER BY c.n), '')
    INTO keys, new_keys
    FROM unnest(names, places) WITH ORDINALITY AS c (name, place, n);

    -- Sizes are of all rows.
    IF called.kind = 'clusterer' AND NOT is_partial THEN
        segments := pgscore.count_segments(
            target, same_key, score, by_version, ARRAY[version, comparison.challenger_version]);
    END IF;

    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', target) INTO is_empty;
    rows_deleted := 0;
    rows_updated := 0;
    IF NOT is_empty THEN
        EXECUTE CASE
            WHEN is_partial THEN format(
                'DELETE FROM %s AS t USING pg_temp.pgscore_changed AS s '
                'WHERE %s AND NOT EXISTS (SELECT FROM pg_temp.pgscore_scored AS o WHERE (%s) = (%s))',
                target, same_key, new_keys, replace(new_keys, 's.', 'o.'))
            ELSE format(
                'DELETE FROM %s AS t WHERE NOT EXISTS (SELECT FROM pg_temp.pgscore_scored AS s WHERE %s)', target, same_key)
        END;
        GET DIAGNOSTICS rows_deleted = ROW_COUNT;
        EXECUTE format(
            'UPDATE %1$s AS t SET score = %3$s, model_version = %4$s, scored_at = now()%5$s FROM pg_temp.pgscore_scored AS s '
            'WHERE %2$s AND (t.score IS DISTINCT FROM %3$s OR t.model_version IS DISTINCT FROM %4$s%6$s)',
            target, same_key, score, by_version, changes, differs)
        USING version, comparison.challenger_version;
        GET DIAGNOSTICS rows_updated = ROW_COUNT;
    END IF;
    EXECUTE format(
        'INSERT INTO %s (%s, score, model_version, scored_at) SELECT %s, %s, %s, now() FROM pg_temp.pgscore_scored AS s %s',
        target, keys, new_keys, score, by_version,
        CASE WHEN NOT is_empty THEN format('WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)', target, same_key) END)
    USING version, comparison.challenger_version;
    GET DIAGNOSTICS rows_inserted = ROW_COUNT;
    DROP TABLE pg_temp.pgscore_scored;
    run_id := pgscore.record_run(
        job, started, version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused);
    IF segments IS NOT NULL THEN
        PERFORM pgscore.record_segments(job, run_id, segments);
    END IF;
    IF by_versions IS NOT NULL THEN
        IF is_partial THEN
            DROP TABLE pg_temp.pgscore_changed;
            PERFORM set_config('random_page_cost', page_cost, true);
            IF (SELECT q.scored_with IS DISTINCT FROM by_versions FROM pgscore.queue_of(job) AS q) THEN
                EXECUTE format('SELECT count(*) FROM %s AS r WHERE %s', target, outdated) INTO left_over;
            END IF;
        END IF;
        PERFORM pgscore.record_scored(job, CASE WHEN left_over = 0 THEN by_versions END, left_over);
    END IF;
    IF comparing AND NOT is_partial THEN
        comparison.run_id := run_id;
        PERFORM pgscore.record_comparison(job, comparison);
    END IF;
END
$procedure$;
COMMENT ON PROCEDURE pgscore.refresh(text, bigint, integer, bigint, bigint, bigint, bigint, bigint) IS
    'Runs a refresh job: CALL pgscore.refresh(''churn_daily''). Scores every row of its source and writes what changed to '
    'its target; gives what it did, as in pgscore.runs. A row that the model refuses keeps its key, with score NULL';

CREATE OR REPLACE VIEW pgscore.freshness WITH (security_barrier) AS
SELECT
    j.name AS job,
    CASE
        WHEN latest.state IS NULL THEN 'never run'
        WHEN latest.state = 'failed' THEN 'failed'
        WHEN good.version IS DISTINCT FROM v.version OR backlog.queued > 0 OR backlog.outdated > 0 THEN 'behind'
        WHEN lag.missed THEN 'stale'
        ELSE 'fresh'
    END AS state,
    m.name AS model,
    j.alias,
    good.version,
    v.version AS current_version,
    good.started_at AS refreshed_at,
    clock_timestamp() - good.started_at AS age,
    good.rows_scored AS rows,
    good.rows_refused AS refused,
    j.source,
    j.key_columns AS keys,
    j.target,
    j.mode,
    latest.error,
    j.challenger,
    j.canary,
    CASE
        WHEN j.challenger IS NULL THEN NULL
        WHEN challenging.version IS NULL THEN 'no challenger'
        WHEN challenging.version = v.version THEN 'same version'
        WHEN (c.version, c.challenger_version) IS DISTINCT FROM (v.version, challenging.version) THEN 'not compared yet'
        ELSE 'compared'
    END AS challenger_state,
    backlog.queued,
    backlog.outdated,
    j.target_lag,
    j.every,
    lag.missed AS target_missed,
    coalesce(latest.started_at + j.every, CASE WHEN j.every IS NOT NULL THEN j.created_at END) AS next_run,
    j.created_at
FROM pgscore.jobs AS j
JOIN pgscore.models AS m USING (model_id)
LEFT JOIN pgscore.aliases AS a ON a.model_id = j.model_id AND a.alias = j.alias
LEFT JOIN pgscore.versions AS v ON v.version_id = a.version_id
LEFT JOIN pgscore.aliases AS ca ON ca.model_id = j.model_id AND ca.alias = j.challenger
LEFT JOIN pgscore.versions AS challenging ON challenging.version_id = ca.version_id
LEFT JOIN LATERAL (
    SELECT r.state, r.error, r.started_at FROM pgscore.runs AS r WHERE r.job_id = j.job_id ORDER BY r.run_id DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT r.run_id, r.version, r.started_at, r.rows_scored, r.rows_refused
    FROM pgscore.runs AS r
    WHERE r.job_id = j.job_id AND r.state = 'done'
    ORDER BY r.run_id DESC
    LIMIT 1
) AS good ON true
LEFT JOIN pgscore.comparisons AS c ON c.run_id = good.run_id
LEFT JOIN LATERAL pgscore.backlog(j.job_id) AS backlog ON j.mode = 'incremental'
CROSS JOIN LATERAL (
    SELECT clock_timestamp() - coalesce(good.started_at, j.created_at) > j.target_lag
) AS lag (missed);
COMMENT ON VIEW pgscore.freshness IS
    'The refresh jobs: the last good run, its age, and state: fresh; stale (age, since that run began, is over target_lag); '
    'behind (the alias has moved to another version since, or an incremental job has a backlog: changes queued, rows '
    'outdated); failed (the last run); never run. challenger_state: compared (in that run); not compared yet; no challenger (the alias '
    'points to no version); same version (as the job''s alias)';
