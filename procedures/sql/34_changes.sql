-- How incremental refresh jobs learn what changed, where the source carries no triggers.
--
--   SELECT pgscore.create_refresh('churn_now', 'churn', 'remote.customers', '{id}', 'public.churn_scores',
--                                 mode => 'incremental', changes => 'hash');
--   SELECT pgscore.create_refresh('churn_now', 'churn', 'recent', '{id}', 'public.churn_scores', mode => 'incremental',
--                                 changes => 'watermark', watermark => 'updated_at', lookback => '10 min');
--
-- hash: pgscore.hashes_N, N being the job_id, has a hash of each key's inputs. A run hashes the source in one scan, and scores
-- the keys whose hash is another, and those that came or went. The table is the owner's; the job's owner may write it, as
-- the runs that fill it are done as their caller.
--
-- watermark: a run scores the rows whose column is no older than the latest that the run before saw, less the lookback.
--
-- Either is looked at before the rows are scored, so what changes in between is found again by the next run.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.set_changes(
    job text, changes text, watermark text, lookback interval, backfill_first text
)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.queues (job_id, watched, watched_columns, changes, watermark, lookback, backfill_first)
    SELECT it.job_id, '{}', '{}', set_changes.changes, set_changes.watermark, set_changes.lookback,
           set_changes.backfill_first
    FROM pgscore.job_of(set_changes.job) AS it
$function$;
COMMENT ON FUNCTION pgscore.set_changes(text, text, text, interval, text) IS
    'Writes down how an incremental job learns what changed, and what it backfills first, as create_refresh has checked. Part of '
    'create_refresh';

CREATE OR REPLACE FUNCTION pgscore.record_seen(job text, seen timestamp)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    UPDATE pgscore.queues AS q
    SET seen = record_seen.seen
    FROM pgscore.job_of(record_seen.job) AS it
    WHERE q.job_id = it.job_id AND q.seen IS DISTINCT FROM record_seen.seen
$function$;
COMMENT ON FUNCTION pgscore.record_seen(text, timestamp) IS
    'Writes down the latest watermark that a run of an incremental job has seen. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.watermark_type(job text, source regclass, watermark text)
RETURNS regtype
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    type CONSTANT regtype := (
        SELECT a.atttypid FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = watermark AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    IF type IS NULL OR type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s has no watermark: %s', job,
                             CASE WHEN type IS NULL THEN format('%s has no column %I', source, watermark)
                                  ELSE format('column %I of %s is %s', watermark, source, type) END),
            HINT = 'a watermark is a column of type timestamptz or timestamp, which each writer sets to the time of its change';
    END IF;
    RETURN type;
END
$function$;
COMMENT ON FUNCTION pgscore.watermark_type(text, regclass, text) IS
    'The type of a job''s watermark; raises where there is no such column, or it tells no time. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.check_changes(
    job text, source regclass, mode text, changes text, watermark text, lookback interval
)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    problem CONSTANT text := CASE
        WHEN mode <> 'incremental' AND num_nonnulls(changes, watermark, lookback) > 0
            THEN 'scores every row in each run: changes, watermark and lookback belong to mode incremental'
        WHEN changes NOT IN ('triggers', 'hash', 'watermark')
            THEN format('cannot learn what changed by %s, but by triggers, hash or watermark', changes)
        WHEN changes = 'watermark' AND watermark IS NULL THEN 'needs the column that is its watermark'
        WHEN changes IS DISTINCT FROM 'watermark' AND num_nonnulls(watermark, lookback) > 0
            THEN 'has no watermark: watermark and lookback belong to changes => watermark'
        WHEN lookback < interval '0' THEN 'cannot look back by less than 0'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('refresh job %s %s', job, problem), HINT = 'see docs/refresh.md';
    END IF;
    IF watermark IS NOT NULL THEN
        PERFORM pgscore.watermark_type(job, source, watermark);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_changes(text, regclass, text, text, text, interval) IS
    'Raises unless a job can learn what changed in the way it is to. Part of create_refresh';

CREATE OR REPLACE FUNCTION pgscore.hash_of_inputs(job text, source regclass, columns text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    hash text;
BEGIN
    -- The bytes of a text: its own hash may be that of another, where its collation or type takes them for equal.
    SELECT coalesce(
        format(
            'hash_record_extended(ROW(%s), 0)',
            string_agg(
                format('r.%I', a.attname) || CASE WHEN t.typcategory = 'S' THEN '::text COLLATE "C"' ELSE '' END,
                ', ' ORDER BY a.attname)),
        '0::bigint')
    INTO hash
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = source AND a.attname = ANY (columns) AND a.attnum > 0 AND NOT a.attisdropped;
    -- Asked of a row of NULLs.
    EXECUTE format('SELECT %s FROM (SELECT (NULL::%s).*) AS r', hash, source);
    RETURN hash;
EXCEPTION WHEN undefined_function THEN
    RAISE EXCEPTION USING
        ERRCODE = 'PS004',
        MESSAGE = format('refresh job %s cannot hash its inputs from %s: %s', job, source, SQLERRM),
        HINT = 'a view over the source can cast the column, say to text';
END
$function$;
COMMENT ON FUNCTION pgscore.hash_of_inputs(text, regclass, text[]) IS
    'SQL of the hash of these columns of the row r of a source; raises where a type has none. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.find_by_hash(job text, source regclass, key_columns text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    queue record;
    keys record;
BEGIN
    SELECT q.* INTO STRICT queue FROM pgscore.queue_of(job) AS q;
    SELECT
        string_agg('k' || k.n, ', ' ORDER BY k.n) AS names,
        string_agg(format('r.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n) AS read,
        string_agg(format('coalesce(h.k%s, s.k%1$s) AS k%1$s', k.n), ', ' ORDER BY k.n) AS either,
        string_agg(format('h.k%s = s.k%1$s', k.n), ' AND ' ORDER BY k.n) AS same
    INTO keys
    FROM unnest(key_columns) WITH ORDINALITY AS k (name, n);
    DROP TABLE IF EXISTS pg_temp.pgscore_hashed;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_hashed ON COMMIT DROP AS SELECT %s, h.hash '
        'FROM (SELECT %s, %s AS hash FROM %s AS r) AS h FULL JOIN %s AS s ON %s WHERE h.hash IS DISTINCT FROM s.hash',
        keys.either, keys.read, pgscore.hash_of_inputs(job, source, queue.watched_columns), source, queue.hashes, keys.same);
    EXECUTE format(
        'INSERT INTO pg_temp.pgscore_changed (%1$s) '
        'SELECT %1$s FROM pg_temp.pgscore_hashed EXCEPT SELECT %1$s FROM pg_temp.pgscore_changed', keys.names);
    EXECUTE format('DELETE FROM %s AS s USING pg_temp.pgscore_hashed AS h WHERE %s', queue.hashes, keys.same);
    -- What is no key is left to the run, which says so.
    EXECUTE format(
        'INSERT INTO %s SELECT %2$s, h.hash FROM pg_temp.pgscore_hashed AS h '
        'WHERE h.hash IS NOT NULL AND num_nulls(%2$s) = 0 ON CONFLICT DO NOTHING',
        queue.hashes, keys.names);
    DROP TABLE pg_temp.pgscore_hashed;
END
$function$;
COMMENT ON FUNCTION pgscore.find_by_hash(text, regclass, text[]) IS
    'Adds to the temporary table pgscore_changed the keys whose inputs have another hash than the job''s last run saw, and those '
    'that came or went, and stores their hashes. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.find_by_watermark(job text, source regclass, key_columns text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    queue record;
    is_zoned boolean;
    zone text;
    recent text;
    since timestamp;
    seen timestamp;
BEGIN
    SELECT q.* INTO STRICT queue FROM pgscore.queue_of(job) AS q;
    is_zoned := pgscore.watermark_type(job, source, queue.watermark) = 'timestamptz'::regtype;
    IF NOT EXISTS (SELECT FROM pg_temp.pgscore_changed AS c WHERE c.everything) THEN
        since := queue.seen;
    END IF;
    zone := CASE WHEN is_zoned THEN ' AT TIME ZONE ''UTC''' ELSE '' END;
    recent := format('($1 IS NULL OR r.%I >= ($1%s) - $2)', queue.watermark, zone);
    -- A time that is yet to come would hide what comes before it.
    EXECUTE format(
        'SELECT (max(least(r.%1$I, %2$s)) FILTER (WHERE isfinite(r.%1$I)))%3$s FROM %4$s AS r WHERE %5$s',
        queue.watermark, CASE WHEN is_zoned THEN 'now()' ELSE 'localtimestamp' END, zone, source, recent)
    INTO seen
    USING since, queue.lookback;
    IF NOT EXISTS (SELECT FROM pg_temp.pgscore_changed AS c WHERE c.everything) THEN
        EXECUTE format(
            'INSERT INTO pg_temp.pgscore_changed (%1$s) '
            'SELECT %2$s FROM %3$s AS r WHERE %4$s EXCEPT SELECT %1$s FROM pg_temp.pgscore_changed',
            (SELECT string_agg('k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(key_columns)) AS n),
            (SELECT string_agg(format('r.%I', k), ', ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u (k, n)),
            source, recent)
        USING since, queue.lookback;
    END IF;
    PERFORM pgscore.record_seen(job, coalesce(seen, since));
END
$function$;
COMMENT ON FUNCTION pgscore.find_by_watermark(text, regclass, text[]) IS
    'Adds to the temporary table pgscore_changed the keys of rows that are as recent as the latest that the job''s last run saw, '
    'or by the lookback older, and stores the latest. Part of refresh';
