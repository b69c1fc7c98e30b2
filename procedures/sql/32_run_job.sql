-- Running a job to its end, in as many transactions as that takes.
--
--   CALL pgscore.run_job('churn_daily');
--
-- Each step is one CALL of pgscore.refresh in a transaction of its own. Locks are those of the transaction, so a session
-- that a pool takes back keeps none; a step that finds another run between itself and the one before ends this one.
--
-- A procedure that commits may have no SET. So each of its transactions sets the search_path first, with a call that is
-- qualified and typed and leaves no room for another function. A transaction block cannot be committed either: there,
-- pgscore.refresh does one step.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.no_commit_message()
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    COMMIT;
EXCEPTION WHEN invalid_transaction_termination THEN
    RETURN SQLERRM;
END
$function$;
COMMENT ON FUNCTION pgscore.no_commit_message() IS
    'What PostgreSQL says, in the language of the session, of a COMMIT where none can be. Part of run_job';

CREATE OR REPLACE PROCEDURE pgscore.run_job(
    job text,
    backfill_rows bigint DEFAULT NULL,
    chunk_rows bigint DEFAULT NULL,
    INOUT run_id bigint DEFAULT NULL,
    INOUT version integer DEFAULT NULL,
    INOUT rows_scored bigint DEFAULT NULL,
    INOUT rows_inserted bigint DEFAULT NULL,
    INOUT rows_updated bigint DEFAULT NULL,
    INOUT rows_deleted bigint DEFAULT NULL,
    INOUT rows_refused bigint DEFAULT NULL,
    INOUT steps integer DEFAULT NULL,
    INOUT written text DEFAULT NULL,
    INOUT because text DEFAULT NULL
)
LANGUAGE plpgsql SECURITY INVOKER
AS $procedure$
DECLARE
    -- Types too are looked up before the path is set.
    begun pg_catalog.timestamptz;
    done pg_catalog.record;
    unfinished pg_catalog.bool := true;
    built pg_catalog.bool := false;
    limits pg_catalog.record;
    rest pg_catalog.float8;
    rows_now pg_catalog.int8;
    in_chunks pg_catalog.bool;
    chunks pg_catalog.int4 := 0;
    all_scored pg_catalog.bool := false;
    state pg_catalog.text;
    message pg_catalog.text;
    hint pg_catalog.text;
    of_schema pg_catalog.text;
    of_table pg_catalog.text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    BEGIN
        COMMIT;
    EXCEPTION WHEN invalid_transaction_termination THEN
        -- It fails in any exception block; what it says tells where it would fail without one.
        IF SQLERRM = pgscore.no_commit_message() THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS002',
                MESSAGE = format('run_job commits after each step of refresh job %s, which it cannot do within a transaction', job),
                HINT = 'call it by itself, outside of a transaction block; pgscore.refresh does one step within one',
                SCHEMA = 'pgscore', TABLE = 'jobs';
        END IF;
    END;
    SELECT 0, 0, 0, 0, 0, 0 INTO rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused, steps;
    WHILE unfinished LOOP
        COMMIT;
        -- A step sees what others have committed since the last one, whatever the session's default is.
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        begun := clock_timestamp();
        BEGIN
            PERFORM pgscore.lock_job(job, run_id);
            SELECT l.* INTO STRICT limits FROM pgscore.limits_of(job) AS l;
            -- No more than ten seconds' rows: it is between steps, and chunks, that a run waits.
            chunk_rows := least(chunk_rows, 10 * limits.max_rows_per_second);
            in_chunks := chunk_rows IS NOT NULL AND NOT pgscore.is_incremental(job);
            PERFORM set_config('pgscore.backfill_rows', least(
                coalesce(backfill_rows, nullif(current_setting('pgscore.backfill_rows', true), '')::bigint, 100000),
                10 * limits.max_rows_per_second)::text, true);
            IF in_chunks AND NOT all_scored THEN
                SELECT c.rows, c.chunks, c.finished INTO STRICT rows_now, chunks, all_scored
                FROM pgscore.score_chunk(job, chunk_rows, chunks) AS c;
            ELSE
                IF built THEN
                    SELECT w.* INTO STRICT done FROM pgscore.write_built(job) AS w;
                ELSE
                    PERFORM set_config('pgscore.in_chunks', CASE WHEN in_chunks THEN 'on' ELSE 'off' END, true);
                    EXECUTE 'CALL pgscore.refresh($1, beside => true)' INTO done USING job;
                END IF;
                built := done.run_id IS NULL;
                unfinished := built OR pgscore.refresh_unfinished(job);
            END IF;
            -- What would fail at the commit fails here, and is written down.
            SET CONSTRAINTS ALL IMMEDIATE;
        EXCEPTION WHEN OTHERS OR query_canceled THEN
            GET STACKED DIAGNOSTICS
                state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT,
                of_schema = SCHEMA_NAME, of_table = TABLE_NAME;
        END;
        EXIT WHEN state IS NOT NULL;
        CONTINUE WHEN built;
        IF done IS NOT NULL THEN
            run_id := done.run_id;
            version := done.version;
            rows_now := done.rows_scored;
            rows_scored := rows_scored + done.rows_scored;
            rows_inserted := rows_inserted + done.rows_inserted;
            rows_updated := rows_updated + done.rows_updated;
            rows_deleted := rows_deleted + done.rows_deleted;
            rows_refused := rows_refused + done.rows_refused;
        END IF;
        steps := steps + 1;
        rest := pgscore.pause(rows_now, begun, limits.max_rows_per_second);
        IF unfinished AND rest > 0 THEN
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            RAISE DEBUG 'refresh job % waits for % s', job, rest;
            PERFORM pg_sleep(rest);
        END IF;
    END LOOP;
    IF state IS NULL THEN
        SELECT w.written, w.because INTO written, because FROM pgscore.writing_of(job, run_id) AS w;
        COMMIT;
        RETURN;
    END IF;

    -- Where the job is unknown, not the caller's or running already, there was no run.
    IF (of_schema, of_table) <> ('pgscore', 'jobs') THEN
        BEGIN
            PERFORM pgscore.record_run(
                job, begun, NULL, NULL, NULL, NULL, NULL, NULL, pgscore.error_to_record(state, message, hint));
            of_schema := 'pgscore';
            of_table := 'runs';
        EXCEPTION WHEN OTHERS THEN
            -- What stopped the run is the news.
        END;
        BEGIN
            PERFORM pgscore.lock_job(job);
            PERFORM pgscore.drop_build(job);
        EXCEPTION WHEN OTHERS THEN
            -- The next run does it.
        END;
    END IF;
    COMMIT;
    -- Without the detail: what PostgreSQL quotes in it may be the value of a row.
    IF hint = '' THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, SCHEMA = of_schema, TABLE = of_table;
    END IF;
    RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, HINT = hint, SCHEMA = of_schema, TABLE = of_table;
END
$procedure$;
COMMENT ON PROCEDURE pgscore.run_job(
    text, bigint, bigint, bigint, integer, bigint, bigint, bigint, bigint, bigint, integer, text, text) IS
    'Runs a refresh job to its end: CALL pgscore.run_job(''churn_daily''). Each step is a transaction of its own, so it is '
    'called outside of transaction blocks; backfill_rows is the setting of that name; with chunk_rows, or a limit of '
    'rows per second, a full run scores the source in chunks of so many rows (33_chunks.sql). Gives the last run and version, and '
    'the sums of the steps. A failure, also a cancel, is written down in pgscore.runs and raised again; the table of that '
    'error is then pgscore.runs';
