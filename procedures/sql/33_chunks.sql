-- Full runs in chunks: the source is scored piece by piece, each piece in a transaction of its own, into a staging table;
-- the last transaction writes the target, so readers see whole states.
--
--   CALL pgscore.run_job('churn_daily', chunk_rows => 100000);
--
-- A chunk of a table is a range of its pages (PostgreSQL's TID range scan), the same range in all of its partitions: read
-- through the table itself, so that its rights and row security hold. A view, a foreign table and what has a foreign
-- partition are cut by the key, in its order.
--
-- Rows are of the time when their chunk was read, keys are of the end. A row that an update has moved to a page before the
-- one where the run was is found by no chunk; so the last transaction reads the keys of the source, scores those that are
-- in no chunk, takes the last score of those that are in two, and drops those that are gone. Those whose scoring failed
-- (39_rejected.sql) are scored again there: a run that fails for too many of them can go on when they are mended.
--
-- What is scored is kept, so a run that was killed goes on with the chunks that are missing, while the query is the same
-- (versions, columns, canary), and what is there is no older than a day, or than the job's target_lag. The staging table is
-- unlogged: after a crash of the server it is empty, and the run begins anew.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE TABLE IF NOT EXISTS pgscore.chunked_runs (
    job_id    integer PRIMARY KEY
              CONSTRAINT chunked_runs_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    query     text NOT NULL,
    begun_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    chunks    integer NOT NULL DEFAULT 0,
    rows      bigint NOT NULL DEFAULT 0,
    next_page bigint NOT NULL DEFAULT 0,
    last_key  text[],
    finished  boolean NOT NULL DEFAULT false,
    one_snapshot boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE pgscore.chunked_runs IS 'Runs in chunks that are not written yet; what they scored is in pgscore.staging_N';
COMMENT ON COLUMN pgscore.chunked_runs.job_id IS 'The job';
COMMENT ON COLUMN pgscore.chunked_runs.query IS 'What scores: a run with another query begins anew';
COMMENT ON COLUMN pgscore.chunked_runs.begun_at IS 'When the first chunk was begun';
COMMENT ON COLUMN pgscore.chunked_runs.chunks IS 'How many are scored';
COMMENT ON COLUMN pgscore.chunked_runs.rows IS 'How many rows these have';
COMMENT ON COLUMN pgscore.chunked_runs.next_page IS 'The page with which the next one begins, where chunks are of pages';
COMMENT ON COLUMN pgscore.chunked_runs.last_key IS 'The key with which the last one ended, where they are of keys';
COMMENT ON COLUMN pgscore.chunked_runs.finished IS 'Whether all are scored';
COMMENT ON COLUMN pgscore.chunked_runs.one_snapshot IS
    'Whether all are of one snapshot (33_parallel.sql): then none is missing, and there is nothing to go on with';

CREATE OR REPLACE FUNCTION pgscore.drop_staging()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS pgscore.staging_%s', OLD.job_id);
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pgscore.drop_staging() IS 'Trigger: the staging table goes with the run';

CREATE OR REPLACE TRIGGER chunked_runs_staging_goes
    AFTER DELETE ON pgscore.chunked_runs
    FOR EACH ROW EXECUTE FUNCTION pgscore.drop_staging();

CREATE OR REPLACE FUNCTION pgscore.chunked_run_of(job text)
RETURNS SETOF pgscore.chunked_runs
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT c.* FROM pgscore.job_of(chunked_run_of.job) AS it JOIN pgscore.chunked_runs AS c USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.chunked_run_of(text) IS
    'The run in chunks that is not written yet; no row where there is none. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.end_chunks(job text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    DELETE FROM pgscore.chunked_runs AS c USING pgscore.job_of(end_chunks.job) AS it WHERE c.job_id = it.job_id
$function$;
COMMENT ON FUNCTION pgscore.end_chunks(text) IS 'Forgets the run in chunks, with what it scored. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.begin_chunks(
    job text, query text, chunks_before integer, one_snapshot boolean DEFAULT false
)
RETURNS pgscore.chunked_runs
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    run pgscore.chunked_runs;
    is_lost boolean := false;
BEGIN
    SELECT j.job_id, least(j.target_lag, '1 day') AS max_age INTO STRICT it
    FROM pgscore.job_of(begin_chunks.job) AS o
    JOIN pgscore.jobs AS j USING (job_id);
    SELECT c.* INTO run FROM pgscore.chunked_runs AS c WHERE c.job_id = it.job_id;
    IF chunks_before > 0 AND run.chunks IS DISTINCT FROM chunks_before THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('another run of refresh job %s came between two chunks of this one', job),
            HINT = 'that one wrote the target: nothing is lost but what this one had scored',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    IF run.rows > 0 THEN
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM pgscore.staging_%s)', it.job_id) INTO is_lost;
    END IF;
    IF run.query IS DISTINCT FROM begin_chunks.query OR is_lost OR run.begun_at < clock_timestamp() - it.max_age
       OR run.one_snapshot OR begin_chunks.one_snapshot THEN
        DELETE FROM pgscore.chunked_runs AS c WHERE c.job_id = it.job_id;
        INSERT INTO pgscore.chunked_runs (job_id, query, one_snapshot)
        VALUES (it.job_id, begin_chunks.query, begin_chunks.one_snapshot)
        RETURNING * INTO run;
    END IF;
    RETURN run;
END
$function$;
COMMENT ON FUNCTION pgscore.begin_chunks(text, text, integer, boolean) IS
    'The run to go on with: the one that is not written yet, where it scores with the same query, is not too old and its '
    'chunks are there; else a new one. Raises where this run has scored chunks that are there no more. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.make_staging(job text, caller text)
RETURNS regclass
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The caller's may be one that the owner may not use.
SET default_tablespace = ''
AS $function$
DECLARE
    it record;
    staging text;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    IF NOT pg_has_role(session_user, to_regrole(quote_ident(caller)), 'MEMBER') THEN
        RAISE EXCEPTION USING ERRCODE = 'PS005', MESSAGE = format('role %s is no member of %s', session_user, caller);
    END IF;
    staging := format('pgscore.staging_%s', it.job_id);
    IF to_regclass(staging) IS NULL THEN
        -- It is read once, in bulk: no figures about it are of use.
        EXECUTE format(
            'CREATE UNLOGGED TABLE %s (chunk integer, %s) WITH (autovacuum_enabled = false)', staging,
            (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
             FROM pg_attribute AS a
             WHERE a.attrelid = to_regclass('pg_temp.pgscore_scored') AND a.attnum > 0 AND NOT a.attisdropped));
        EXECUTE format('COMMENT ON TABLE %s IS %L', staging, format('What refresh job %s has scored, and not yet written', job));
    END IF;
    -- Several connections may ask at once, and would be in each other's way.
    IF NOT (has_table_privilege(caller, staging, 'SELECT') AND has_table_privilege(caller, staging, 'INSERT')) THEN
        EXECUTE format('GRANT SELECT, INSERT ON %s TO %I', staging, caller);
    END IF;
    RETURN staging;
END
$function$;
COMMENT ON FUNCTION pgscore.make_staging(text, text) IS
    'The staging table of a job, for this role to write and read; made after pgscore_scored where it is not there. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_chunk(job text, rows bigint, next_page bigint, last_key text[], finished boolean)
RETURNS integer
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    UPDATE pgscore.chunked_runs AS c
    SET chunks = c.chunks + 1, rows = c.rows + record_chunk.rows, next_page = record_chunk.next_page,
        last_key = record_chunk.last_key, finished = record_chunk.finished
    FROM pgscore.job_of(record_chunk.job) AS it
    WHERE c.job_id = it.job_id
    RETURNING c.chunks
$function$;
COMMENT ON FUNCTION pgscore.record_chunk(text, bigint, bigint, text[], boolean) IS
    'Writes down that a chunk is scored; gives how many are. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.pages_of(source regclass)
RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    WITH RECURSIVE tree (oid) AS (
        SELECT source::oid
        UNION
        SELECT i.inhrelid FROM pg_inherits AS i JOIN tree AS t ON t.oid = i.inhparent
    )
    SELECT CASE WHEN bool_and(c.relkind IN ('r', 'm', 'p')) THEN
        array_agg(pg_relation_size(c.oid) / current_setting('block_size')::bigint) FILTER (WHERE c.relkind <> 'p')
    END
    FROM tree AS t
    JOIN pg_class AS c USING (oid)
$function$;
COMMENT ON FUNCTION pgscore.pages_of(regclass) IS
    'How many pages each part of a source has; NULL where not all of them are tables. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.next_keys(source regclass, key_columns text[], last_key text[], chunk_rows bigint)
RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Keys are kept as text.
SET datestyle = 'ISO'
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
AS $function$
DECLARE
    names CONSTANT text := (
        SELECT string_agg(format('r.%I', k.name), ', ' ORDER BY k.n) FROM unnest(key_columns) WITH ORDINALITY AS k (name, n));
    last_one text[];
    found_rows bigint;
BEGIN
    DROP TABLE IF EXISTS pg_temp.pgscore_chunk;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_chunk ON COMMIT DROP AS SELECT %s FROM %s AS r %s ORDER BY %s LIMIT %s',
        (SELECT string_agg(format('r.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n)
         FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)),
        source,
        (SELECT format('WHERE (%s) > (%s)', names, string_agg(
            format('%L::%s', last_key[k.n], format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.n))
         FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)
         JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = k.name
         WHERE last_key IS NOT NULL
         HAVING count(*) > 0),
        names, chunk_rows);
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    IF found_rows = chunk_rows THEN
        EXECUTE format(
            'SELECT ARRAY[%s] FROM pg_temp.pgscore_chunk AS c ORDER BY %s LIMIT 1',
            (SELECT string_agg(format('c.k%s::text', n), ', ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n),
            (SELECT string_agg(format('c.k%s DESC', n), ', ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n))
        INTO last_one;
    END IF;
    RETURN last_one;
END
$function$;
COMMENT ON FUNCTION pgscore.next_keys(regclass, text[], text[], bigint) IS
    'Makes the temporary table pgscore_chunk of the next keys k1, k2, … after last_key; gives the last of them, or NULL where '
    'the source has no more. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.score_chunk(
    job text, chunk_rows bigint, chunks_before integer DEFAULT NULL, OUT rows bigint, OUT chunks integer, OUT finished boolean
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    source regclass;
    run record;
    pages bigint[];
    step bigint;
    page bigint := 0;
    last_key text[];
BEGIN
    PERFORM pgscore.lock_job(job);
    SELECT b.* INTO STRICT run
    FROM pgscore.score_part(job, NULL) AS p
    CROSS JOIN LATERAL pgscore.begin_chunks(job, p.query, chunks_before) AS b;
    IF run.finished THEN
        SELECT 0, run.chunks, true INTO rows, chunks, finished;
        RETURN;
    END IF;
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    source := to_regclass(it.source);
    pages := pgscore.pages_of(source);
    IF pages IS NULL THEN
        last_key := pgscore.next_keys(source, it.key_columns, run.last_key, chunk_rows);
        rows := (SELECT p.rows FROM pgscore.score_part(job, run.chunks + 1, 'pg_temp.pgscore_chunk') AS p);
        DROP TABLE pg_temp.pgscore_chunk;
        finished := last_key IS NULL;
    ELSE
        -- So many pages that those parts which go on that far have chunk_rows.
        SELECT greatest(1, chunk_rows * sum(p) / nullif(
            pgscore.estimated_rows('SELECT FROM ' || source) * count(*) FILTER (WHERE p > run.next_page), 0))
        INTO step
        FROM unnest(pages) AS p;
        page := run.next_page + step;
        rows := (
            SELECT p.rows
            FROM pgscore.score_part(
                job, run.chunks + 1, NULL,
                format('r.ctid >= ''(%s,0)''::tid AND r.ctid < ''(%s,0)''::tid', run.next_page, page)) AS p);
        finished := page >= ALL (pages);
    END IF;
    chunks := pgscore.record_chunk(job, rows, page, last_key, finished);
END
$function$;
COMMENT ON FUNCTION pgscore.score_chunk(text, bigint, integer) IS
    'Scores the next chunk of a full run, of about so many rows; gives how many rows it had, how many chunks are scored and '
    'whether these are all. chunks_before: those that this run has scored. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.take_chunks(
    job text, source regclass, key_columns text[], called record, challenger record, others text[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    staging CONSTANT regclass := pgscore.make_staging(job, current_user::text);
    keys CONSTANT text := (SELECT string_agg('s.k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n);
    same CONSTANT text := (
        SELECT string_agg(format('s.k%1$s = o.k%1$s', n), ' AND ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n);
BEGIN
    DROP TABLE IF EXISTS pg_temp.pgscore_scored, pg_temp.pgscore_keys, pg_temp.pgscore_missing;
    IF (SELECT c.one_snapshot FROM pgscore.chunked_run_of(job) AS c) THEN
        EXECUTE format('CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS SELECT * FROM %s', staging);
        ALTER TABLE pg_temp.pgscore_scored DROP COLUMN chunk;
        PERFORM pgscore.check_failed(job, 'pg_temp.pgscore_scored', 'pg_temp.pgscore_scored');
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS SELECT %s FROM %s AS r',
        (SELECT string_agg(format('r.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n)
         FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)),
        source);
    PERFORM pgscore.key_scored(job, source, key_columns);
    ALTER TABLE pg_temp.pgscore_scored RENAME TO pgscore_keys;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_missing ON COMMIT DROP AS SELECT s.* FROM pg_temp.pgscore_keys AS s '
        'WHERE NOT EXISTS (SELECT FROM %s AS o WHERE %s AND o.reason IS NULL)', staging, same);
    PERFORM pgscore.score_or_fail(source, key_columns, called, challenger, others, 'pg_temp.pgscore_missing');
    EXECUTE format(
        'INSERT INTO pg_temp.pgscore_scored SELECT DISTINCT ON (%1$s) %2$s FROM %3$s AS s '
        'WHERE s.reason IS NULL AND EXISTS (SELECT FROM pg_temp.pgscore_keys AS o WHERE %4$s) ORDER BY %1$s, s.chunk DESC',
        keys,
        (SELECT string_agg(format('s.%I', a.attname), ', ' ORDER BY a.attnum)
         FROM pg_attribute AS a
         WHERE a.attrelid = staging AND a.attnum > 1 AND NOT a.attisdropped),
        staging, same);
    DROP TABLE pg_temp.pgscore_keys, pg_temp.pgscore_missing;
    PERFORM pgscore.check_failed(job, 'pg_temp.pgscore_scored', 'pg_temp.pgscore_scored');
END
$function$;
COMMENT ON FUNCTION pgscore.take_chunks(text, regclass, text[], record, record, text[]) IS
    'Makes the temporary table pgscore_scored, as score_source does, of the chunks that are scored: for each key that the '
    'source has now, or had in their one snapshot. Part of refresh';
