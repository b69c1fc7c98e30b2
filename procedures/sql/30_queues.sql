-- Queues of incremental refresh jobs: the keys that writers changed, appended in the writer's own transaction.
--
-- A job has a table pgscore.queue_N and a trigger function pgscore.queue_changes_N, N being its job_id. The statement-level
-- triggers that 35_incremental.sql puts on the source, and on each of its partitions, append to it: the keys of rows that
-- came, went or changed in a column that a version of the model reads. A row with `everything` says that any key may have
-- changed. A run takes the rows that it sees and nothing else: what commits later stays for the next. Where runs find changes
-- otherwise (34_changes.sql), `everything` is all that stands in it, and there is no function.
--
-- The trigger function runs in the transactions of everybody who writes the source, as the owner, and a user can give his
-- table columns of types, casts and operators of his own. So it calls none of them: what it compares by = is of
-- PostgreSQL's own types, which the function checks each time, and other columns are compared as bytes (*<>). What it does not know it does not
-- refuse, either: it queues everything, and the run says what is wrong.
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
        (SELECT array_agg(format_type(a.atttypid, -1) ORDER BY a.attnum)
         FROM pg_attribute AS a
         WHERE a.attrelid = to_regclass(format('pgscore.queue_%s', q.job_id)) AND a.attnum > 1),
        q.scored_with, q.changes, format('pgscore.hashes_%s', q.job_id), q.watermark, q.lookback, q.seen,
        q.backfill_first
    FROM pgscore.job_of(queue_of.job) AS it
    JOIN pgscore.queues AS q USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.queue_of(text) IS 'The queue of an incremental refresh job; no row for another. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.make_queue(job text, source regclass, watched regclass[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The caller's may be one that the owner may not use.
SET default_tablespace = ''
AS $function$
DECLARE
    it record;
    queue text;
    keys record;
    wrong record;
    reads text[];
    -- What = compares as a model does, and quicker than the bytes.
    plain text[];
    types text;
    differs text;
    changed text;
BEGIN
    SELECT j.*, b.owner, b.model_id INTO STRICT it FROM pgscore.job_of(job) AS j JOIN pgscore.jobs AS b USING (job_id);
    queue := format('queue_%s', it.job_id);
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type INTO wrong
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = source AND a.attname = ANY (it.key_columns)
      AND (t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype <> 'b' OR t.typcategory = 'A' OR a.attgenerated = 'v'
           OR EXISTS (SELECT FROM pg_collation AS c WHERE c.oid = a.attcollation AND NOT c.collisdeterministic))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('mode incremental takes no key like %I of %s, of type %s', wrong.attname, it.source, wrong.type),
            HINT = 'a key is a stored column of a type of PostgreSQL''s own, with its default kind of collation; mode full takes others';
    END IF;
    SELECT
        string_agg(format('k%s %s', k.n, format_type(a.atttypid, -1)), ', ' ORDER BY k.n) AS columns,
        string_agg('k' || k.n, ', ' ORDER BY k.n) AS names,
        string_agg(format('n.%I', k.name), ', ' ORDER BY k.n) AS new,
        string_agg(format('o.%I', k.name), ', ' ORDER BY k.n) AS old,
        string_agg(format('coalesce(n.%1$I, o.%1$I)', k.name), ', ' ORDER BY k.n) AS either,
        string_agg(format('n.%1$I = o.%1$I', k.name), ' AND ' ORDER BY k.n) AS same
    INTO keys
    FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n)
    JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = k.name;
    IF to_regclass('pgscore.' || queue) IS NULL THEN
        -- Rows come in bulk and go in bulk: the pages are empty again when a vacuum has been.
        EXECUTE format(
            'CREATE TABLE pgscore.%I (everything boolean, %s) WITH ('
            'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, '
            'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1, '
            'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000)',
            queue, keys.columns);
        EXECUTE format('COMMENT ON TABLE pgscore.%I IS %L', queue, format('Changed keys of refresh job %s', job));
        IF (SELECT q.changes = 'hash' FROM pgscore.queues AS q WHERE q.job_id = it.job_id) THEN
            EXECUTE format(
                'CREATE TABLE pgscore.hashes_%s (%s, hash bigint NOT NULL, PRIMARY KEY (%s))', it.job_id, keys.columns, keys.names);
            EXECUTE format(
                'COMMENT ON TABLE pgscore.hashes_%s IS %L', it.job_id, format('Hashes of what refresh job %s scored', job));
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON pgscore.hashes_%s TO %I', it.job_id, it.owner);
        END IF;
    END IF;

    -- Of all versions, as any of them may be promoted; none is ever forgotten.
    SELECT array_agg(DISTINCT c.name ORDER BY c.name) INTO reads
    FROM (
        SELECT p."column"
        FROM pgscore.versions AS v
        CROSS JOIN LATERAL jsonb_to_recordset(v.parameters) AS p ("column" text)
        WHERE v.model_id = it.model_id
        UNION
        SELECT unnest(q.watched_columns) FROM pgscore.queues AS q WHERE q.job_id = it.job_id
        UNION
        SELECT unnest(f.carried) FROM pgscore.target_forms AS f WHERE f.job_id = it.job_id
    ) AS c (name)
    JOIN pg_attribute AS a
        ON a.attrelid = source AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped;
    reads := coalesce(reads, '{}');
    UPDATE pgscore.queues AS q
    SET watched = make_queue.watched, watched_columns = reads, scored_with = NULL
    WHERE q.job_id = it.job_id;
    PERFORM pgscore.queue_everything(job);
    IF make_queue.watched = '{}' THEN
        RETURN;
    END IF;
    SELECT
        array_agg(a.attname::text), string_agg(format('(%L, %s)', a.attname, a.atttypid::oid), ', ' ORDER BY a.attnum)
    INTO plain, types
    FROM pg_attribute AS a
    LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
    WHERE a.attrelid = source AND a.attname = ANY (it.key_columns || reads)
      AND (a.attname = ANY (it.key_columns)
           OR a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype,
                             'numeric'::regtype, 'bool'::regtype, 'text'::regtype, 'varchar'::regtype)
              AND coalesce(c.collisdeterministic, true));
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = ANY (reads) AND a.attgenerated = 'v')
    THEN
        -- A transition table has no virtual columns.
        changed := format('SELECT %s FROM pgscore_old AS o UNION ALL SELECT %s FROM pgscore_new AS n', keys.old, keys.new);
    ELSE
        -- The casts to record: a comparison of mere rows would look for an operator of each column.
        SELECT concat_ws(
            ' OR ',
            string_agg(format('o.%1$I IS DISTINCT FROM n.%1$I', c.name), ' OR ') FILTER (WHERE c.name = ANY (plain)),
            CASE WHEN bool_or(c.name <> ALL (plain)) THEN format(
                'ROW(%s)::record *<> ROW(%s)::record',
                string_agg(format('o.%I', c.name), ', ' ORDER BY c.n) FILTER (WHERE c.name <> ALL (plain)),
                string_agg(format('n.%I', c.name), ', ' ORDER BY c.n) FILTER (WHERE c.name <> ALL (plain))) END)
        INTO differs
        FROM unnest(reads || it.key_columns) WITH ORDINALITY AS c (name, n);
        changed := format(
            'SELECT %s FROM pgscore_old AS o FULL JOIN pgscore_new AS n ON %s WHERE %s', keys.either, keys.same,
            differs);
    END IF;
    -- The plans are kept, whatever the size of the first statement: never a nested loop, which a large one would not survive.
    -- The memory holds the rows of a large one, which else go to files and cost writers half as much again.
    EXECUTE format(
        $make$
CREATE OR REPLACE FUNCTION pgscore.%1$I()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET work_mem = '64MB'
SET jit = off
AS %2$L$make$,
        format('queue_changes_%s', it.job_id),
        format(
            $body$
BEGIN
    IF TG_OP = 'TRUNCATE' OR (
        SELECT count(*) <> %1$s OR bool_or(a.attname = ANY (%2$L::name[]) AND (a.attname, a.atttypid) NOT IN (%3$s))
        FROM pg_attribute AS a
        WHERE a.attrelid = TG_RELID AND a.attname = ANY (%4$L::name[])) THEN
        INSERT INTO pgscore.%5$I (everything) VALUES (true);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO pgscore.%5$I (%6$s) SELECT %7$s FROM pgscore_new AS n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO pgscore.%5$I (%6$s) SELECT %8$s FROM pgscore_old AS o;
    ELSE
        INSERT INTO pgscore.%5$I (%6$s) %9$s;
    END IF;
    RETURN NULL;
END
$body$,
            (SELECT count(DISTINCT c) FROM unnest(it.key_columns || reads) AS c), plain, types,
            it.key_columns || reads, queue, keys.names, keys.new, keys.old, changed));
    EXECUTE format(
        'COMMENT ON FUNCTION pgscore.%I() IS %L',
        format('queue_changes_%s', it.job_id), format('Trigger: queues changed keys for refresh job %s', job));
    EXECUTE format('REVOKE ALL ON FUNCTION pgscore.%I() FROM PUBLIC', format('queue_changes_%s', it.job_id));
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgscore.%I() TO %I', format('queue_changes_%s', it.job_id), it.owner);
END
$function$;
COMMENT ON FUNCTION pgscore.make_queue(text, regclass, regclass[]) IS
    'Makes the queue of an incremental job and, where relations are watched, its trigger function, or the function anew. Part '
    'of refresh';

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
    RETURN QUERY EXECUTE (SELECT format('DELETE FROM %s RETURNING *', q.queue) FROM pgscore.queue_of(job) AS q);
END
$function$;
COMMENT ON FUNCTION pgscore.take_changes(text) IS
    'Takes the rows of a job''s queue that the statement sees: everything, k1, k2, … Part of refresh';

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
        EXECUTE format('SELECT count(*) FROM pgscore.queue_%s', job_id) INTO queued;
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
