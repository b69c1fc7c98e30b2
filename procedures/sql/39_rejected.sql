-- Rejected rows: keys that have no score, and why. A run keeps them in step with what it scored, in its transaction.
--
--   SELECT key, reason, since FROM pgscore.rejected('churn_daily');
--   SELECT pgscore.queue_rejected('churn_daily');
--
-- Two kinds. The model refuses a row: its answer is NULL. Or scoring it raises an error of class 22: then the run tries keys
-- in parts, halves those that fail, and scores all but the rows that fail alone. Both kinds keep their key in the target, with
-- score NULL.
--
-- Reasons name columns and conditions, never a value. The first 1000 keys of a job are kept; runs count all.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE TABLE IF NOT EXISTS pgscore.rejected_rows (
    job_id integer NOT NULL CONSTRAINT rejected_rows_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    key    jsonb NOT NULL,
    reason text NOT NULL,
    run_id bigint NOT NULL,
    since  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS rejected_rows_of_job ON pgscore.rejected_rows (job_id);
COMMENT ON TABLE pgscore.rejected_rows IS 'Rows of sources that have no score: at most 1000 for each job';
COMMENT ON COLUMN pgscore.rejected_rows.job_id IS 'The job';
COMMENT ON COLUMN pgscore.rejected_rows.key IS 'The key: an object of the key columns';
COMMENT ON COLUMN pgscore.rejected_rows.reason IS 'Why, without values';
COMMENT ON COLUMN pgscore.rejected_rows.run_id IS 'The run that rejected it first';
COMMENT ON COLUMN pgscore.rejected_rows.since IS 'When that was';

CREATE OR REPLACE VIEW pgscore.rejected_overview WITH (security_barrier) AS
SELECT j.name AS job, r.key, r.reason, r.run_id, r.since
FROM pgscore.rejected_rows AS r
JOIN pgscore.jobs AS j USING (job_id)
WHERE has_table_privilege('pgscore.model_overview', 'SELECT')
   OR coalesce(pg_has_role(to_regrole(quote_ident(j.owner)), 'MEMBER'), false);
COMMENT ON VIEW pgscore.rejected_overview IS
    'The keys that refresh jobs could not score, and why: of all jobs for who may read the other overviews, else of jobs of '
    'one''s own';

CREATE OR REPLACE FUNCTION pgscore.rejected(job text)
RETURNS TABLE (key jsonb, reason text, run_id bigint, since timestamptz)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT r.key, r.reason, r.run_id, r.since
    FROM pgscore.job_of(rejected.job) AS it
    JOIN pgscore.rejected_rows AS r USING (job_id)
    ORDER BY r.since, r.key
$function$;
COMMENT ON FUNCTION pgscore.rejected(text) IS
    'The keys of a job''s source that have no score, and why; at most 1000, pgscore.runs counts all';

CREATE OR REPLACE FUNCTION pgscore.queue_rejected(job text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    queue record;
    queued bigint;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT q.* INTO queue FROM pgscore.queue_of(job) AS q;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s has no queue: each of its runs scores every row', job),
            HINT = 'run it';
    END IF;
    EXECUTE format(
        'INSERT INTO %s (%s) SELECT %s FROM pgscore.rejected_rows AS r WHERE r.job_id = $1',
        queue.queue,
        (SELECT string_agg('k' || n, ', ' ORDER BY n) FROM generate_series(1, cardinality(it.key_columns)) AS n),
        (SELECT string_agg(format('ARRAY[(r.key ->> %L)::%s]', k.name, k.type), ', ' ORDER BY k.n)
         FROM unnest(it.key_columns, queue.key_types) WITH ORDINALITY AS k (name, type, n)))
    USING it.job_id;
    GET DIAGNOSTICS queued = ROW_COUNT;
    RETURN queued;
END
$function$;
COMMENT ON FUNCTION pgscore.queue_rejected(text) IS
    'Has the next run of an incremental job score its rejected keys again, as after a change that it did not see; gives how many';

CREATE OR REPLACE FUNCTION pgscore.record_rejected(job text, run_id bigint, rejected jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mine CONSTANT integer := (SELECT j.job_id FROM pgscore.job_of(job) AS j);
BEGIN
    DELETE FROM pgscore.rejected_rows AS r
    WHERE r.job_id = mine
      AND r.key NOT IN (SELECT n.key FROM jsonb_to_recordset(record_rejected.rejected) AS n (key jsonb));
    UPDATE pgscore.rejected_rows AS r
    SET reason = n.reason
    FROM jsonb_to_recordset(record_rejected.rejected) AS n (key jsonb, reason text)
    WHERE r.job_id = mine AND r.key = n.key AND r.reason <> n.reason;
    INSERT INTO pgscore.rejected_rows (job_id, key, reason, run_id)
    SELECT mine, n.key, n.reason, record_rejected.run_id
    FROM jsonb_to_recordset(record_rejected.rejected) AS n (key jsonb, reason text)
    WHERE NOT EXISTS (SELECT FROM pgscore.rejected_rows AS r WHERE r.job_id = mine AND r.key = n.key);
END
$function$;
COMMENT ON FUNCTION pgscore.record_rejected(text, bigint, jsonb) IS
    'Writes down which keys of a job are rejected now: what rejected_now gave. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.reason_for_refusal(parameters jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT format(
        'coalesce(nullif(left(array_to_string(ARRAY[%s]::text[], '', ''), 500), ''''), ''the model gives no answer'')',
        string_agg(
            format(
                CASE WHEN p.type = 'double precision' THEN
                    'CASE WHEN r.%1$I IS NULL OR r.%1$I::text = ''NaN'' THEN %2$L '
                    'WHEN r.%1$I::text IN (''Infinity'', ''-Infinity'') THEN %3$L END'
                ELSE 'CASE WHEN r.%1$I IS NULL THEN %2$L END' END,
                p."column", format('column %I is missing', p."column"), format('column %I is infinite', p."column")),
            ', ' ORDER BY p.n))
    FROM ROWS FROM (jsonb_to_recordset(parameters) AS ("column" text, type text)) WITH ORDINALITY AS p ("column", type, n)
$function$;
COMMENT ON FUNCTION pgscore.reason_for_refusal(jsonb) IS
    'SQL of what is odd about the row r of a source, for a version with these parameters. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.rejected_now(
    job text, source regclass, key_columns text[], called record, scored text, score text, is_partial boolean, refused bigint
)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    most CONSTANT integer := 1000;
    known jsonb;
    now_rejected jsonb := '[]';
    room integer;
    key CONSTANT text := (
        SELECT format('jsonb_build_object(%s)', string_agg(format('%L, s.k%s', k.name, k.n), ', ' ORDER BY k.n))
        FROM unnest(key_columns) WITH ORDINALITY AS k (name, n));
    same_key CONSTANT text := (
        SELECT string_agg(format('r.%I = s.k%s', k.name, k.n), ' AND ' ORDER BY k.n)
        FROM unnest(key_columns) WITH ORDINALITY AS k (name, n));
    entries CONSTANT text := 'SELECT $1 || coalesce(jsonb_agg(jsonb_build_object(''key'', %s, ''reason'', %s)), ''[]'') '
        'FROM (SELECT s.* FROM %s AS s WHERE %s LIMIT %s) AS s';
    without_score CONSTANT text := format('s.reason IS NULL AND %s IS NULL', score);
BEGIN
    SELECT jsonb_agg(jsonb_build_object('key', r.key, 'reason', r.reason)) INTO known FROM pgscore.rejected(job) AS r;
    IF refused = 0 AND known IS NULL THEN
        RETURN NULL;
    END IF;
    IF is_partial AND known IS NOT NULL THEN
        EXECUTE format(
            'SELECT coalesce(jsonb_agg(n), ''[]'') FROM jsonb_array_elements($1) AS n '
            'WHERE n -> ''key'' NOT IN (SELECT %s FROM pg_temp.pgscore_changed AS s)', key)
        INTO now_rejected USING known;
    END IF;
    IF refused = 0 THEN
        RETURN now_rejected;
    END IF;
    room := most - jsonb_array_length(now_rejected);
    EXECUTE format(entries, key, 's.reason', scored, 's.reason IS NOT NULL', room) INTO now_rejected USING now_rejected;
    room := most - jsonb_array_length(now_rejected);
    BEGIN
        EXECUTE format(
            entries || ' JOIN %s AS r ON %s',
            key, pgscore.reason_for_refusal(called.parameters), scored, without_score, room, source, same_key)
        INTO now_rejected USING now_rejected;
    EXCEPTION WHEN data_exception THEN
        -- The source raises it for other rows.
        EXECUTE format(entries, key, quote_literal('the model gives no answer'), scored, without_score, room)
        INTO now_rejected USING now_rejected;
    END;
    RETURN now_rejected;
END
$function$;
COMMENT ON FUNCTION pgscore.rejected_now(text, regclass, text[], record, text, text, boolean, bigint) IS
    'The keys and reasons that a job rejects after a run; scored: the relation of k1, k2, …, reason (of those whose scoring failed) and what score, SQL of the '
    'score that is written for its row s, reads; refused: how many have none. NULL: none, before as now. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.data_condition(state text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT 'scoring fails: ' || CASE state
        WHEN '22001' THEN 'string data right truncation'
        WHEN '22003' THEN 'numeric value out of range'
        WHEN '22007' THEN 'invalid datetime format'
        WHEN '22008' THEN 'datetime field overflow'
        WHEN '22012' THEN 'division by zero'
        WHEN '22021' THEN 'character not in repertoire'
        WHEN '22023' THEN 'invalid parameter value'
        WHEN '2201E' THEN 'invalid argument for logarithm'
        WHEN '2201F' THEN 'invalid argument for power function'
        WHEN '22P02' THEN 'invalid text representation'
        ELSE 'data exception'
    END || format(' (SQLSTATE %s)', state)
$function$;
COMMENT ON FUNCTION pgscore.data_condition(text) IS
    'The reason of a row whose scoring raises an error of class 22: the condition, as the message may quote a value. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.score_or_fail(
    source regclass, key_columns text[], called record, challenger record, others text[], among text, only_if text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    most CONSTANT integer := 1000;
    part_rows CONSTANT bigint := 10000;
    k text;
    selected text;
    canary text;
    trial text;
    keys bigint;
    has_null boolean;
    failed bigint[] := '{}';
    reasons text[] := '{}';
    lows bigint[];
    highs bigint[];
    low bigint;
    high bigint;
BEGIN
    BEGIN
        PERFORM pgscore.score_source(source, key_columns, called, challenger, others, among, only_if);
        ALTER TABLE pg_temp.pgscore_scored ADD COLUMN reason text;
        RETURN;
    EXCEPTION WHEN data_exception THEN
        -- Some row raises it: which ones is found below.
    END;
    SELECT string_agg('k' || u.n, ', ' ORDER BY u.n), string_agg(format('r.%I AS k%s', u.name, u.n), ', ' ORDER BY u.n)
    INTO k, selected
    FROM unnest(key_columns) WITH ORDINALITY AS u (name, n);
    DROP TABLE IF EXISTS pg_temp.pgscore_numbered, pg_temp.pgscore_failed;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_numbered ON COMMIT DROP AS '
        'SELECT d.*, row_number() OVER (ORDER BY %1$s) AS n FROM (SELECT DISTINCT %2$s FROM %3$s AS r WHERE %4$s AND (%5$s)) AS d',
        k, selected, source,
        CASE WHEN among IS NULL THEN 'true' ELSE format(
            'EXISTS (SELECT FROM %s AS o WHERE %s)', among,
            (SELECT string_agg(format('o.k%s = r.%I', u.n, u.name), ' AND ') FROM unnest(key_columns) WITH ORDINALITY AS u (name, n)))
        END,
        coalesce(only_if, 'true'));
    CREATE UNIQUE INDEX ON pg_temp.pgscore_numbered (n);
    ANALYZE pg_temp.pgscore_numbered;
    EXECUTE format('SELECT count(*), coalesce(bool_or(num_nulls(%s) > 0), false) FROM pg_temp.pgscore_numbered', k) INTO keys, has_null;
    SELECT coalesce(array_agg(g), '{}'), array_agg(least(g + part_rows - 1, keys)) INTO lows, highs
    FROM generate_series(1, keys, part_rows) AS g;
    -- A trial keeps nothing: a table for each would hold a lock until the run ends.
    trial := format(
        'SELECT count(q) FROM (%s OFFSET 0) AS q',
        pgscore.scoring_query(
            source, key_columns, called, challenger, others,
            '(SELECT * FROM pg_temp.pgscore_numbered WHERE n BETWEEN $1 AND $2)', only_if));
    WHILE lows <> '{}' AND cardinality(failed) <= most LOOP
        low := lows[cardinality(lows)];
        high := highs[cardinality(highs)];
        lows := trim_array(lows, 1);
        highs := trim_array(highs, 1);
        BEGIN
            EXECUTE trial USING low, high;
        EXCEPTION WHEN data_exception THEN
            IF low = high THEN
                failed := failed || low;
                reasons := reasons || pgscore.data_condition(SQLSTATE);
            ELSE
                lows := lows || (low + high + 1) / 2 || low;
                highs := highs || high || (low + high + 1) / 2 - 1;
            END IF;
        END;
    END LOOP;
    IF has_null OR cardinality(failed) > most OR cardinality(failed) = keys AND num_nonnulls(among, only_if) = 0 THEN
        -- A view that raises it whichever keys are asked for, or too many rows: the whole fails, as it did.
        PERFORM pgscore.score_source(source, key_columns, called, challenger, others, among, only_if);
    END IF;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_failed ON COMMIT DROP AS SELECT %s, f.reason '
        'FROM pg_temp.pgscore_numbered AS d JOIN unnest($1, $2) AS f (n, reason) ON f.n = d.n', k)
    USING failed, reasons;
    DELETE FROM pg_temp.pgscore_numbered AS d WHERE d.n = ANY (failed);
    PERFORM pgscore.score_source(source, key_columns, called, challenger, others, 'pg_temp.pgscore_numbered', only_if);
    ALTER TABLE pg_temp.pgscore_scored ADD COLUMN reason text;
    IF challenger IS NOT NULL THEN
        canary := format(
            ', (SELECT %s FROM (SELECT %s) AS r)',
            pgscore.canary_condition(challenger.model, key_columns, challenger.canary),
            (SELECT string_agg(format('f.k%s AS %I', u.n, u.name), ', ' ORDER BY u.n)
             FROM unnest(key_columns) WITH ORDINALITY AS u (name, n)));
    END IF;
    EXECUTE format(
        'INSERT INTO pg_temp.pgscore_scored (%1$s, reason%2$s) SELECT %1$s, f.reason%3$s FROM pg_temp.pgscore_failed AS f',
        k, CASE WHEN challenger IS NOT NULL THEN ', canary' END, canary);
    DROP TABLE pg_temp.pgscore_numbered, pg_temp.pgscore_failed;
END
$function$;
COMMENT ON FUNCTION pgscore.score_or_fail(regclass, text[], record, record, text[], text, text) IS
    'score_source, and where a row raises an error of class 22, again without those that do, which trials of halved parts find: they have a NULL score. The last column of pgscore_scored '
    'is reason, of these. Fails for more than 1000 of them, or where all of the source do. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.check_failed(job text, scored text, failed text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    rows bigint;
    n_failed bigint;
    reason text;
BEGIN
    EXECUTE format('SELECT count(f.reason), min(f.reason) FROM %s AS f', failed) INTO n_failed, reason;
    IF n_failed = 0 THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*) FROM %s', scored) INTO rows;
    IF n_failed > 1000 OR n_failed = rows THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s cannot score %s of %s rows: %s', job, n_failed, rows, reason),
            HINT = 'up to 1000 such rows stop no run, unless it has no others';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_failed(text, text, text) IS
    'Raises where too many rows of a relation, put together of parts, are such as score_or_fail could not score: they have a reason in another, which may be the same. '
    'Part of refresh';
