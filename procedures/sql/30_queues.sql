-- Queues of incremental refresh jobs: the keys that writers changed, appended in the writer's own transaction.
--
-- A job has a table pgscore.queue_N and a trigger function pgscore.queue_changes_N, N being its job_id. The statement-level
-- triggers that 35_incremental.sql puts on the source, and on each of its partitions, append to it: the keys of rows that
-- came, went or changed in a column that a version of the model reads, those of a statement in arrays (an array for each
-- key column, `changes` elements long). A row with `everything` says that any key may have changed. A run takes the rows
-- that it sees and nothing else: what commits later stays for the next. Where runs find changes otherwise
-- (34_changes.sql), `everything` and rejected keys are all that stands in it, and there is no function.
--
-- The functions run as the owner. Errors are those of 20_functions.sql.

CREATE TABLE IF NOT EXISTS pgscore.queues (
    job_id          integer PRIMARY KEY
                    CONSTRAINT queues_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    watched         regclass[] NOT NULL,
    watched_columns text[] NOT NULL,
    scored_with     text,
    outdated        bigint,
    changes         text NOT NULL DEFAULT 'triggers'
                    CONSTRAINT queues_changes_is_known CHECK (changes IN ('triggers', 'hash', 'watermark')),
    watermark       text,
    lookback        interval,
    seen            timestamp,
    backfill_first  text,
    CONSTRAINT queues_watermark_is_whole CHECK ((changes = 'watermark') = (num_nulls(watermark, lookback) = 0))
);
COMMENT ON TABLE pgscore.queues IS 'What incremental refresh jobs know of their source and target';
COMMENT ON COLUMN pgscore.queues.job_id IS 'The job; its queue is pgscore.queue_N';
COMMENT ON COLUMN pgscore.queues.watched IS 'The source and its partitions when their triggers were made';
COMMENT ON COLUMN pgscore.queues.watched_columns IS 'The columns whose change queues a row''s key';
COMMENT ON COLUMN pgscore.queues.scored_with IS
    'The version (and challenger, and canary share) that all rows of the target are of; NULL: a run has yet to see to that';
COMMENT ON COLUMN pgscore.queues.outdated IS 'Rows of other versions that the last run left in the target';
COMMENT ON COLUMN pgscore.queues.changes IS
    'How runs learn what changed: triggers, the hash of the inputs of each key, or a watermark (34_changes.sql)';
COMMENT ON COLUMN pgscore.queues.watermark IS 'The column of the source that says when a row changed';
COMMENT ON COLUMN pgscore.queues.lookback IS 'How much older than the latest seen a row may be that a run scores';
COMMENT ON COLUMN pgscore.queues.seen IS
    'The latest watermark that a run has seen, no later than that run; in UTC where the column has a time zone';
COMMENT ON COLUMN pgscore.queues.backfill_first IS
    'The column of the target whose largest values are scored anew first; NULL: those scored last first';

CREATE OR REPLACE FUNCTION pgscore.is_incremental(job text)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT j.mode = 'incremental'
    FROM pgscore.job_of(is_incremental.job) AS it
    JOIN pgscore.jobs AS j USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.is_incremental(text) IS 'Whether a refresh job is of mode incremental. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.queue_of(job text)
RETURNS TABLE (
    job_id integer, queue text, trigger_function text, watched regclass[], watched_columns text[], key_types text[],
    scored_with text, changes text, hashes text, watermark text, lookback interval, seen timestamp,
    backfill_first text
)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT
        q.job_id, format('pgscore.queue_%s', q.job_id), format('pgscore.queue_changes_%s', q.job_id), q.watched,
        q.watched_columns,
        (SELECT array_agg(format_type(t.typelem, -1) ORDER BY a.attnum)
         FROM pg_attribute AS a
         JOIN pg_type AS t ON t.oid = a.atttypid
         WHERE a.attrelid = to_regclass(format('pgscore.queue_%s', q.job_id)) AND a.attname ~ '^k[0-9]'),
        q.scored_with, q.changes, format('pgscore.hashes_%s', q.job_id), q.watermark, q.lookback, q.seen,
        q.backfill_first
    FROM pgscore.job_of(queue_of.job) AS it
    JOIN pgscore.queues AS q USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.queue_of(text) IS 'The queue of an incremental refresh job; no row for another. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.queue_everything(job text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    queue text;
BEGIN
    SELECT q.queue INTO queue FROM pgscore.queue_of(job) AS q;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s has no queue: each of its runs scores every row', job);
    END IF;
    EXECUTE format('INSERT INTO %s (everything) VALUES (true)', queue);
END
$function$;
COMMENT ON FUNCTION pgscore.queue_everything(text) IS
    'Has the next run of an incremental job score every row and compare the whole target: after changes that no trigger '
    'saw, as with session_replication_role = replica';

CREATE OR REPLACE FUNCTION pgscore.take_changes(job text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN QUERY EXECUTE (
        SELECT format(
            'WITH taken AS (DELETE FROM %s RETURNING *) '
            'SELECT t.everything, k.* FROM taken AS t LEFT JOIN LATERAL unnest(%s) AS k ON true',
            q.queue, (SELECT string_agg('t.k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(q.key_types)) AS n))
        FROM pgscore.queue_of(job) AS q);
END
$function$;
COMMENT ON FUNCTION pgscore.take_changes(text) IS
    'Takes what is in a job''s queue, as far as the statement sees: everything, or a key k1, k2, … Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_scored(job text, scored_with text, outdated bigint)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    UPDATE pgscore.queues AS q
    SET scored_with = record_scored.scored_with, outdated = record_scored.outdated
    FROM pgscore.job_of(record_scored.job) AS it
    WHERE q.job_id = it.job_id
      AND (q.scored_with, q.outdated) IS DISTINCT FROM (record_scored.scored_with, record_scored.outdated)
$function$;
COMMENT ON FUNCTION pgscore.record_scored(text, text, bigint) IS
    'Writes down which version the target of an incremental job is of. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.backlog(job_id integer)
RETURNS TABLE (queued bigint, outdated bigint)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    changes text;
BEGIN
    SELECT q.outdated, q.changes INTO outdated, changes FROM pgscore.queues AS q WHERE q.job_id = backlog.job_id;
    IF FOUND AND to_regclass(format('pgscore.queue_%s', job_id)) IS NOT NULL THEN
        EXECUTE format('SELECT coalesce(sum(q.changes), 0) FROM pgscore.queue_%s AS q', job_id) INTO queued;
        IF changes <> 'triggers' AND queued = 0 THEN
            queued := NULL;
        END IF;
        RETURN NEXT;
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.backlog(integer) IS
    'Of an incremental refresh job: changes that are queued (NULL: unknown, as the next run will find them by hash or watermark), '
    'and rows of an old version that the last run left. Part of freshness';

CREATE OR REPLACE FUNCTION pgscore.drop_queue()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    -- CASCADE: the triggers that use the function; nothing else can.
    EXECUTE format('DROP FUNCTION IF EXISTS pgscore.queue_changes_%s() CASCADE', OLD.job_id);
    EXECUTE format('DROP TABLE IF EXISTS pgscore.queue_%s, pgscore.hashes_%1$s', OLD.job_id);
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pgscore.drop_queue() IS 'Trigger: the queue of a job, and the triggers on its source, go with the job';

CREATE OR REPLACE TRIGGER jobs_queues_go
    AFTER DELETE ON pgscore.jobs
    FOR EACH ROW WHEN (OLD.mode = 'incremental') EXECUTE FUNCTION pgscore.drop_queue();
