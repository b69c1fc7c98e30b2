-- Freshness of prediction tables: what is declared for a job, what its runs did, and how old the stored rows are.
--
--   SELECT pgscore.set_schedule('churn_daily', target_lag => '1 hour', every => '15 minutes');
--   SELECT job, state, age, target_lag, next_run FROM pgscore.freshness;
--   SELECT * FROM pgscore.run_overview WHERE job = 'churn_daily' ORDER BY run_id DESC LIMIT 10;
--   SELECT * FROM pgscore.prediction_ages('churn_daily');
--
-- Lag. A run reads its source after it began: all that was committed before is in its predictions. So the age of the last
-- good run, since its beginning, is the lag: stored predictions are of data no older than that.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.set_schedule(job text, target_lag interval, every interval)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mine record;
    wrong record;
BEGIN
    SELECT j.* INTO STRICT mine FROM pgscore.job_of(job) AS j;
    SELECT g.name, g.value INTO wrong
    FROM (VALUES ('target_lag', set_schedule.target_lag), ('every', set_schedule.every)) AS g (name, value)
    WHERE g.value <= interval '0' OR date_trunc('month', g.value) <> interval '0'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = CASE
                WHEN wrong.value <= interval '0' THEN format('%s of refresh job %s must be longer than 0', wrong.name, job)
                ELSE format('%s of refresh job %s is in months, which differ in length', wrong.name, job)
            END,
            HINT = 'write days, hours or minutes, such as 15 min';
    END IF;
    UPDATE pgscore.jobs AS j
    SET target_lag = set_schedule.target_lag, every = set_schedule.every
    WHERE j.job_id = mine.job_id;
END
$function$;
COMMENT ON FUNCTION pgscore.set_schedule(text, interval, interval) IS
    'Declares how old a job''s predictions may become (target_lag) and how long after a run began the next is due (every); '
    'NULL: nothing. It runs nothing by itself: see pgscore.schedule, and `pgscore refresh run --due`';

CREATE OR REPLACE FUNCTION pgscore.due_jobs()
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT f.job
    FROM pgscore.freshness AS f
    JOIN pgscore.jobs AS j ON j.name = f.job
    WHERE f.next_run <= clock_timestamp()
      AND (coalesce(pg_has_role(session_user, to_regrole(quote_ident(j.owner)), 'MEMBER'), false)
           OR pg_has_role(session_user, current_user, 'MEMBER'))
    ORDER BY f.next_run, f.job
$function$;
COMMENT ON FUNCTION pgscore.due_jobs() IS
    'The jobs whose next run is due, of those that the user may run, the longest due first';

CREATE OR REPLACE VIEW pgscore.run_overview WITH (security_barrier) AS
SELECT
    j.name AS job,
    r.run_id,
    r.state,
    r.version,
    r.started_at,
    extract(epoch FROM r.finished_at - r.started_at)::double precision AS seconds,
    r.rows_scored AS rows,
    r.rows_scored / nullif(extract(epoch FROM r.finished_at - r.started_at), 0)::double precision AS rows_per_second,
    r.rows_inserted AS inserted,
    r.rows_updated AS updated,
    r.rows_deleted AS deleted,
    r.rows_refused AS refused,
    r.error,
    r.by,
    r.written,
    r.because
FROM pgscore.runs AS r
JOIN pgscore.jobs AS j USING (job_id)
WHERE has_table_privilege('pgscore.model_overview', 'SELECT')
   OR coalesce(pg_has_role(to_regrole(quote_ident(j.owner)), 'MEMBER'), false);
COMMENT ON VIEW pgscore.run_overview IS
    'What the refresh jobs did, run by run: of all jobs for who may read the other overviews, else of jobs of one''s own';

CREATE OR REPLACE FUNCTION pgscore.prediction_ages(
    job text, OUT rows bigint, OUT p50 interval, OUT p95 interval, OUT max interval, OUT oldest_key jsonb
)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    predictions text;
BEGIN
    SELECT f.target, f.keys, s.vanished INTO it
    FROM pgscore.freshness AS f
    JOIN pgscore.job_settings AS s USING (job)
    WHERE f.job = prediction_ages.job;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001', MESSAGE = format('there is no refresh job %L', job), HINT = 'see pgscore.freshness';
    END IF;
    IF to_regclass(it.target) IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('the target of refresh job %s is gone: %s', job, it.target),
            HINT = 'drop the job and create it anew';
    END IF;
    predictions := it.target || CASE
        WHEN it.vanished = 'keep' THEN ' AS t WHERE t.vanished_at IS NULL'
        ELSE ' AS t'
    END;
    EXECUTE format(
        $ages$
        SELECT
            count(*),
            percentile_disc(0.5) WITHIN GROUP (ORDER BY s.age),
            percentile_disc(0.95) WITHIN GROUP (ORDER BY s.age),
            max(s.age)
        FROM (SELECT now() - t.scored_at AS age FROM %s) AS s
        $ages$, predictions)
    INTO rows, p50, p95, max;
    EXECUTE format(
        'SELECT to_jsonb(s) FROM (SELECT %1$s FROM %2$s ORDER BY t.scored_at, %1$s LIMIT 1) AS s',
        (SELECT string_agg(format('t.%I', k.name), ', ' ORDER BY k.n)
         FROM unnest(it.keys) WITH ORDINALITY AS k (name, n)),
        predictions)
    INTO oldest_key;
END
$function$;
COMMENT ON FUNCTION pgscore.prediction_ages(text) IS
    'How long ago the rows of a job''s target got their score: median, 95th percentile, the oldest and its key. Runs write '
    'what changed: an old row is not out of date, its score has been the same since. Reads the whole target, as its caller';
