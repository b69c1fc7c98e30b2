-- Limits of refresh jobs: how long a run may take, how long it waits for a lock, and how many rows it scores in a second.
--
--   SELECT pgscore.set_limits('churn_daily', statement_timeout => '2 hours', lock_timeout => '5 s');
--   SELECT job, statement_timeout, lock_timeout, max_rows_per_second FROM pgscore.freshness;
--
-- A run sets its lock_timeout itself, and run_job waits between steps. A statement_timeout does not act on the statement
-- that sets it, and a run is one: `pgscore refresh run` sets it before, and so does what pgscore.schedule gives to pg_cron.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.record_limits(
    job text, statement_timeout interval, lock_timeout interval, max_rows_per_second bigint
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mine record;
    wrong text;
BEGIN
    SELECT j.* INTO STRICT mine FROM pgscore.job_of(job) AS j;
    SELECT g.name INTO wrong
    FROM (VALUES
        ('statement_timeout', record_limits.statement_timeout), ('lock_timeout', record_limits.lock_timeout)) AS g (name, value)
    -- What the settings of these names take.
    WHERE NOT extract(epoch FROM g.value) * 1000 BETWEEN 1 AND 2147483647
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s of refresh job %s must lie between 1 ms and 24 days', wrong, job),
            HINT = 'NULL: as it is set in the session';
    END IF;
    IF record_limits.max_rows_per_second < 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('max_rows_per_second of refresh job %s must be at least 1', job),
            HINT = 'NULL: as fast as it goes';
    END IF;
    UPDATE pgscore.jobs AS j
    SET statement_timeout = record_limits.statement_timeout,
        lock_timeout = record_limits.lock_timeout,
        max_rows_per_second = record_limits.max_rows_per_second
    WHERE j.job_id = mine.job_id;
END
$function$;
COMMENT ON FUNCTION pgscore.record_limits(text, interval, interval, bigint) IS
    'Writes down the limits of a refresh job. Part of set_limits';

CREATE OR REPLACE FUNCTION pgscore.set_limits(
    job text, statement_timeout interval DEFAULT NULL, lock_timeout interval DEFAULT NULL, max_rows_per_second bigint DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM pgscore.record_limits(job, statement_timeout, lock_timeout, max_rows_per_second);
    IF pgscore.can_read_cron('job') THEN
        PERFORM pgscore.schedule(job, c.schedule)
        FROM cron.job AS c
        WHERE c.jobname = pgscore.cron_name(job) AND c.database = current_database() AND c.username = current_user;
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.set_limits(text, interval, interval, bigint) IS
    'Limits each run of a job: its length, its waits for locks (the settings of these names), and the rows scored in a second '
    'where it takes several steps. NULL: no limit of the job''s own. What the caller scheduled of it in pg_cron is changed too';

CREATE OR REPLACE FUNCTION pgscore.limits_of(job text)
RETURNS TABLE (statement_timeout text, lock_timeout text, max_rows_per_second bigint)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT
        round(extract(epoch FROM j.statement_timeout) * 1000)::bigint || 'ms',
        round(extract(epoch FROM j.lock_timeout) * 1000)::bigint || 'ms',
        j.max_rows_per_second
    FROM pgscore.job_of(limits_of.job) AS it
    JOIN pgscore.jobs AS j USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.limits_of(text) IS
    'The limits of a job: as values of the settings statement_timeout and lock_timeout, and as a number. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.pause(rows bigint, begun timestamptz, max_rows_per_second bigint)
RETURNS double precision
LANGUAGE sql VOLATILE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(
        greatest(0, rows / max_rows_per_second::numeric - extract(epoch FROM clock_timestamp() - begun)), 0)::double precision
$function$;
COMMENT ON FUNCTION pgscore.pause(bigint, timestamptz, bigint) IS
    'How many seconds to wait after a step that began then and scored so many rows, to keep to the limit. Part of run_job';
