-- Refresh: jobs that keep a prediction table in step with its source. They work from psql alone:
--
--   SELECT pgscore.create_refresh('churn_daily', 'churn', 'customers', '{customer_id}', 'public.churn_scores');
--   CALL pgscore.run_job('churn_daily');
--   SELECT * FROM pgscore.freshness;
--
-- run_job (32_run_job.sql) calls refresh, which is one transaction, and the caller's. It scores the source from one snapshot into a temporary table, then writes the difference:
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
    INOUT rows_refused bigint DEFAULT NULL,
    beside boolean DEFAULT false
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $procedure$
DECLARE
    started timestamptz := clock_timestamp();
    -- on: run_job has scored the source chunk by chunk. begin: several connections are going to (33_parallel.sql).
    in_chunks CONSTANT text := coalesce(current_setting('pgscore.in_chunks', true), '');
    chunks_begun timestamptz;
    it record;
    called record;
    source regclass;
    target regclass;
    challenger record;
    comparing boolean;
    comparison pgscore.comparisons;
    form record;
    others record;
    -- Of an incremental job: which rows this run is about.
    changes record;
    is_partial boolean := false;
    among text;
    recommends boolean;
    page_cost CONSTANT text := current_setting('random_page_cost');
    -- What is written of a row s of pgscore_scored.
    score text := 's.score';
    by_version text;
    names text[];
    written text[];
    query text;
    writing record;
    build pgscore.builds;
    segments jsonb;
    rejected jsonb;
BEGIN
    PERFORM pgscore.lock_job(job);
    PERFORM pgscore.drop_build(job);
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    PERFORM set_config('lock_timeout', l.lock_timeout, true)
    FROM pgscore.limits_of(job) AS l
    WHERE l.lock_timeout IS NOT NULL;
    -- Versions are looked up once, and their own functions are called: a promote meanwhile changes nothing in this run.
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    SELECT c.* INTO challenger FROM pgscore.challenger_to_run(job) AS c WHERE c.version <> called.version;
    comparing := FOUND;
    version := called.version;
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
        coalesce(array_agg(c.name), '{}') AS names, coalesce(array_agg(c.type), '{}') AS types,
        coalesce(array_agg(c.place), '{}') AS places,
        coalesce(array_agg(format('%s AS %I', c.expression, c.place)), '{}') AS expressions
    INTO others
    FROM pgscore.target_columns(source, it.key_columns, called, challenger, form) AS c;
    PERFORM pgscore.check_target(target, source, it.key_columns, called.main ->> 'result', others.names, others.types);
    IF comparing THEN
        PERFORM pgscore.check_challenger(job, called, challenger);
    END IF;

    IF pgscore.is_incremental(job) THEN
        SELECT c.* INTO STRICT changes FROM pgscore.changes_to_score(job, source, target, called, challenger) AS c;
        IF changes.watching = 'set up' THEN
            -- Writers wait until this transaction ends: no time for more.
            SELECT 0, 0, 0, 0, 0 INTO rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused;
            run_id := pgscore.record_run(job, started, version, 0, 0, 0, 0, 0);
            RETURN;
        END IF;
        is_partial := changes.is_partial;
    END IF;
    IF is_partial THEN
        -- Keys in order lead to pages in order.
        PERFORM set_config('random_page_cost', '1.1', true);
        -- The figures of a comparison are of all rows.
        comparing := comparing AND challenger.canary > 0;
    END IF;

    IF comparing THEN
        comparison.challenger_version := challenger.version;
        score := 'CASE WHEN s.canary THEN s.challenger ELSE s.score END';
        by_version := format('CASE WHEN s.canary THEN %s ELSE %s END', challenger.version, version);
    ELSE
        challenger := NULL;
        by_version := version;
    END IF;
    IF in_chunks = 'on' THEN
        -- Not those of a version that was live until just now.
        SELECT c.begun_at INTO chunks_begun
        FROM pgscore.chunked_run_of(job) AS c
        WHERE c.finished AND c.query = pgscore.chunk_query(source, it.key_columns, called, challenger, others.expressions);
        started := coalesce(chunks_begun, started);
    END IF;
    names := it.key_columns || '{score,model_version}'::text[] || others.names;
    written := ARRAY(SELECT 's.k' || n FROM generate_series(1, cardinality(it.key_columns)) AS n)
        || score || by_version || ARRAY(SELECT format('s.%I', p) FROM unnest(others.places) AS p);
    recommends := form.top IS NOT NULL AND called.main ? 'factors';
    IF recommends THEN
        query := format('SELECT FROM %s', source);
    ELSIF changes IS NULL THEN
        query := pgscore.scoring_query(source, it.key_columns, called, challenger, others.expressions);
    END IF;
    SELECT w.* INTO STRICT writing
    FROM pgscore.choose_writing(
        job, target, it.key_columns, names, called, query, beside, comparing, form.keeps_vanished) AS w;
    IF writing.written = 'swap' THEN
        build.names := names;
        build.because := writing.because;
        build.rows_before := writing.rows_before;
        build.started_at := started;
        build.version := version;
        IF in_chunks = 'begin' AND form.top IS NULL THEN
            PERFORM pgscore.begin_build(job, source, target, it.key_columns, build);
        ELSIF chunks_begun IS NULL AND form.top IS NULL THEN
            BEGIN
                -- Without a second copy.
                PERFORM pgscore.build_beside(
                    job, source, target, it.key_columns, called, written,
                    format('(%s)', pgscore.scored_query(source, it.key_columns, called, challenger, others.expressions)), build);
                RETURN;
            EXCEPTION WHEN data_exception THEN
                -- Some row raises it, and score_or_fail finds out which.
            END;
        END IF;
    END IF;
    IF in_chunks = 'begin' THEN
        RETURN;
    END IF;
    among := CASE WHEN is_partial THEN 'pg_temp.pgscore_changed' END;
    IF chunks_begun IS NOT NULL THEN
        PERFORM pgscore.take_chunks(job, source, it.key_columns, called, challenger, others.expressions);
    ELSIF recommends THEN
        PERFORM pgscore.recommend(job, source, target, it.key_columns, called, form, among);
    ELSE
        PERFORM pgscore.score_or_fail(source, it.key_columns, called, challenger, others.expressions, among);
    END IF;
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %s IS NULL) FROM pg_temp.pgscore_scored AS s', score)
    INTO rows_scored, rows_refused;
    PERFORM pgscore.key_scored(job, source, it.key_columns);
    rejected := pgscore.rejected_now(
        job, source, it.key_columns, called, 'pg_temp.pgscore_scored', score, is_partial, rows_refused);
    IF comparing AND NOT is_partial THEN
        comparison := pgscore.compare_scores(cardinality(it.key_columns), called, challenger);
    END IF;
    IF form.top IS NOT NULL THEN
        PERFORM pgscore.rank_scored(it.key_columns, score, form);
    END IF;
    IF writing.written = 'swap' THEN
        build.rows_scored := rows_scored;
        build.rows_refused := rows_refused;
        build.rejected := rejected;
        PERFORM pgscore.build_beside(job, source, target, it.key_columns, called, written, 'pg_temp.pgscore_scored', build);
        RETURN;
    END IF;
    -- Sizes are of all rows.
    IF called.kind = 'clusterer' AND NOT is_partial THEN
        segments := pgscore.count_segments(target, it.key_columns, 'pg_temp.pgscore_scored', score, by_version);
    END IF;

    SELECT w.* INTO STRICT rows_inserted, rows_updated, rows_deleted
    FROM pgscore.write_difference(
        target, cardinality(it.key_columns), names, written, is_partial, form.keeps_vanished) AS w;
    DROP TABLE pg_temp.pgscore_scored;

    run_id := pgscore.record_run(
        job, started, version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused);
    PERFORM pgscore.record_writing(job, run_id, 'difference', writing.because);
    IF rejected IS NOT NULL THEN
        PERFORM pgscore.record_rejected(job, run_id, rejected);
    END IF;
    IF segments IS NOT NULL THEN
        PERFORM pgscore.record_segments(job, run_id, segments);
    END IF;
    IF changes IS NOT NULL THEN
        PERFORM set_config('random_page_cost', page_cost, true);
        PERFORM pgscore.changes_scored(job, target, changes);
    END IF;
    IF comparing AND NOT is_partial THEN
        comparison.run_id := run_id;
        PERFORM pgscore.record_comparison(job, comparison);
    END IF;
    PERFORM pgscore.end_chunks(job);
END
$procedure$;
COMMENT ON PROCEDURE pgscore.refresh(text, bigint, integer, bigint, bigint, bigint, bigint, bigint, boolean) IS
    'One step of a refresh job, in the transaction of the caller; run_job does them all. Scores every row of its source and writes what changed to '
    'its target; gives what it did, as in pgscore.runs. A row that the model refuses, or whose scoring fails, keeps its key, with score NULL: see pgscore.rejected. '
    'beside, of run_job: new rows may be left in a table beside the target, and then no run is given';

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
    j.created_at,
    j.statement_timeout,
    j.lock_timeout,
    j.max_rows_per_second,
    j.live
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
    'behind (the alias has moved to another version since, or an incremental job has a backlog: changes queued (NULL: '
    'unknown, as the job finds them by hash or watermark), rows outdated); failed (the last run); never run. challenger_state: compared (in that run); not compared yet; no challenger (the alias '
    'points to no version); same version (as the job''s alias)';
