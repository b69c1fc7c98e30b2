-- Full runs that several connections score, on one exported snapshot: `pgscore refresh run JOB --jobs N`.
--
-- The command line does what SQL cannot: it holds the job's lock in one session, exports a snapshot there, and has the others
-- score parts of the source on it. Where all rows are going to be built beside and swapped in (33_swapping.sql), they write into
-- the table that is built; else into the staging table of 33_chunks.sql, from which the first session writes the target.
--
-- All of it runs as the caller.

CREATE OR REPLACE FUNCTION pgscore.begin_parts(job text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM pgscore.lock_job(job);
    IF pgscore.is_incremental(job) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s is incremental: one connection scores what changed', job),
            HINT = 'mode full takes several',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    IF (SELECT l.max_rows_per_second IS NOT NULL FROM pgscore.limits_of(job) AS l) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s has a limit of rows per second: one connection keeps it', job),
            HINT = 'take the limit away, or run it without several jobs',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    PERFORM pgscore.drop_build(job);
    PERFORM FROM pgscore.score_part(job, NULL) AS p CROSS JOIN LATERAL pgscore.begin_chunks(job, p.query, 0, true) AS b;
    -- No row, for the columns.
    PERFORM pgscore.score_part(job, 0, NULL, 'false');
    PERFORM set_config('pgscore.in_chunks', 'begin', true);
    EXECUTE 'CALL pgscore.refresh($1, beside => true)' USING job;
    RETURN EXISTS (SELECT FROM pgscore.build_of(job));
END
$function$;
COMMENT ON FUNCTION pgscore.begin_parts(text) IS
    'Begins a full run that several connections score: forgets what another has scored, and makes the table that they write. '
    'Gives whether that one is to be swapped in. Part of `pgscore refresh run --jobs`';

CREATE OR REPLACE FUNCTION pgscore.begin_build(
    job text, source regclass, target regclass, key_columns text[], build pgscore.builds
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    required text;
BEGIN
    build.relation := pgscore.free_part(target::text);
    PERFORM pgscore.create_build(
        target, build.relation,
        format(
            'SELECT %s FROM %s AS s WITH NO DATA',
            pgscore.built_columns(
                target, build.names, ARRAY(SELECT format('s.%I', c.name) FROM unnest(build.names) WITH ORDINALITY AS c (name, n) ORDER BY c.n),
                's.scored_at'),
            target));
    -- An empty table needs no look at its rows. Key columns only where they cannot fail: the error would quote the row.
    SELECT string_agg(format('ALTER COLUMN %I SET NOT NULL', a.attname), ', ') INTO required
    FROM pg_attribute AS a
    WHERE a.attrelid = target AND a.attnotnull AND (
        a.attname IN ('model_version', 'scored_at')
        OR a.attname = ANY (key_columns) AND NOT EXISTS (
            SELECT FROM pg_attribute AS k WHERE k.attrelid = source AND k.attname = ANY (key_columns) AND NOT k.attnotnull));
    IF required IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %s %s', build.relation, required);
    END IF;
    SELECT '{}', 0, 0, 0, true INTO build.indexes, build.rows_scored, build.rows_refused, build.rows_built, build.is_open;
    PERFORM pgscore.record_build(job, build);
END
$function$;
COMMENT ON FUNCTION pgscore.begin_build(text, regclass, regclass, text[], pgscore.builds) IS
    'Makes the table that several connections write, without a row, and writes it down. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.insert_built(target regclass, n_keys integer, places text[], scored text, build pgscore.builds)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    rows bigint;
BEGIN
    EXECUTE format(
        'INSERT INTO %s SELECT %s FROM %s AS s', build.relation,
        pgscore.built_columns(
            target, build.names,
            ARRAY(SELECT 's.k' || n FROM generate_series(1, n_keys) AS n) || 's.score'::text || build.version::text
                || ARRAY(SELECT format('s.%I', p.place) FROM unnest(places) WITH ORDINALITY AS p (place, n) ORDER BY p.n),
            quote_literal(build.started_at)),
        scored);
    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN rows;
END
$function$;
COMMENT ON FUNCTION pgscore.insert_built(regclass, integer, text[], text, pgscore.builds) IS
    'Writes what one connection has scored, without a challenger, into the table that is built; gives how many rows. scored is a table, or a query in '
    'brackets, places are its columns beside key and score. Part of `pgscore refresh run --jobs`';

CREATE OR REPLACE FUNCTION pgscore.end_parts(job text, rows bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    staging regclass;
    it record;
    called record;
    build pgscore.builds;
BEGIN
    PERFORM pgscore.lock_job(job);
    SELECT b.* INTO build FROM pgscore.build_of(job) AS b WHERE b.is_open;
    IF NOT FOUND THEN
        PERFORM pgscore.record_chunk(job, end_parts.rows, 0, NULL, true);
        RETURN;
    END IF;
    -- Raises where the parts were scored otherwise than now.
    PERFORM pgscore.score_part(job, 0, NULL, 'false');
    staging := pgscore.make_staging(job, current_user::text);
    PERFORM pgscore.check_failed(job, build.relation, staging::text);
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    build.rows_built := end_parts.rows;
    build.rows_scored := NULL;
    PERFORM pgscore.finish_build(
        job, to_regclass(it.source), to_regclass(it.target), it.key_columns, called, staging::text, build);
END
$function$;
COMMENT ON FUNCTION pgscore.end_parts(text, bigint) IS
    'Says that all parts are scored, so many rows: the table that is to be swapped in gets its indexes. Part of `pgscore refresh run --jobs`';

CREATE OR REPLACE FUNCTION pgscore.parts_of(job text, parts integer)
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    pages bigint;
    step bigint;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT max(p) INTO pages FROM unnest(pgscore.pages_of(it.source::regclass)) AS p;
    IF pages IS NULL THEN
        -- Each reads all rows, and scores its share.
        RETURN QUERY
        SELECT format(
            '(hash_record_extended(ROW(%s), 0) & 9007199254740991) %% %s = %s',
            (SELECT string_agg(format('r.%I', k.name), ', ' ORDER BY k.n)
             FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n)),
            parts, part)
        FROM generate_series(0, parts - 1) AS part;
        RETURN;
    END IF;
    step := greatest(1, ceil(pages / parts::numeric));
    -- The last has no end: pages may have been added since they were counted.
    RETURN QUERY
    SELECT format('r.ctid >= ''(%s,0)''::tid', page)
        || CASE WHEN page + step < pages THEN format(' AND r.ctid < ''(%s,0)''::tid', page + step) ELSE '' END
    FROM generate_series(0, greatest(pages - 1, 0), step) AS page;
END
$function$;
COMMENT ON FUNCTION pgscore.parts_of(text, integer) IS
    'Conditions that cut the rows r of a job''s source into at most so many parts: ranges of pages, or shares by the hash of '
    'the key where it is no table. Part of `pgscore refresh run --jobs`';
