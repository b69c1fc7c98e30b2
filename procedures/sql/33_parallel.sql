-- Full runs that several connections score, on one exported snapshot: `pgscore refresh run JOB --jobs N`.
--
-- The command line does what SQL cannot: it holds the job's lock in one session, exports a snapshot there, and has the others
-- score parts of the source on it into the staging table of 33_chunks.sql. Then its own session writes the target.
--
-- All of it runs as the caller.

CREATE OR REPLACE FUNCTION pgscore.begin_parts(job text)
RETURNS void
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
    PERFORM FROM pgscore.score_part(job, NULL) AS p CROSS JOIN LATERAL pgscore.begin_chunks(job, p.query, 0, true) AS b;
    -- No row, for the columns.
    PERFORM pgscore.score_part(job, 0, NULL, 'false');
END
$function$;
COMMENT ON FUNCTION pgscore.begin_parts(text) IS
    'Begins a full run that several connections score: forgets what another has scored, and makes the staging table. Part of '
    '`pgscore refresh run --jobs`';

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
