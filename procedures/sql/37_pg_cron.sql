-- Refresh jobs in pg_cron, where that extension is in this database.
--
--   SELECT pgscore.schedule('churn_daily', '0 3 * * *');
--   SELECT * FROM pgscore.cron_runs();
--   SELECT pgscore.unschedule('churn_daily');
--
-- pg_cron runs a job as the role that scheduled it, so all here is done as the caller. It shows a role its own jobs and runs.
--
-- run_job writes its failures down. What pg_cron wrote is the only trace where it could not begin, or its session ended, and
-- of CALL pgscore.refresh, which is rolled back with the row that it would have in pgscore.runs.
--
-- Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.can_read_cron(table_name text)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- The extension's own: where it is not here, anybody may have made a schema of that name, to be read by a superuser.
    SELECT coalesce(bool_or(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false)
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
    WHERE n.nspname = 'cron' AND c.relname = can_read_cron.table_name AND e.extname = 'pg_cron'
$function$;
COMMENT ON FUNCTION pgscore.can_read_cron(text) IS
    'Whether pg_cron is in this database and its table can be read. Part of schedule, unschedule and cron_runs';

CREATE OR REPLACE FUNCTION pgscore.cron_name(job text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- pg_cron before 1.5 cuts names at 63 bytes: two jobs could share one.
    SELECT 'pgscore:' || CASE WHEN length(job) <= 55 THEN job ELSE left(job, 46) || '-' || left(md5(job), 8) END
$function$;
COMMENT ON FUNCTION pgscore.cron_name(text) IS 'What a refresh job is called in pg_cron. Part of schedule and unschedule';

CREATE OR REPLACE FUNCTION pgscore.schedule(job text, cron text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    limits record;
BEGIN
    PERFORM FROM pgscore.job_of(job);
    IF NOT pgscore.can_read_cron('job') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('pg_cron is not in database %s, or role %s may not use it', current_database(), current_user),
            HINT = '`pgscore doctor` says which; `pgscore schedule --print cron` shows how to do without';
    END IF;
    SELECT l.* INTO STRICT limits FROM pgscore.limits_of(job) AS l;
    -- With another statement before it, run_job could not commit.
    RETURN cron.schedule(
        pgscore.cron_name(job), cron,
        CASE
            WHEN limits.statement_timeout IS NULL THEN format('CALL pgscore.run_job(%L)', job)
            ELSE format('SET statement_timeout = %L; CALL pgscore.refresh(%L)', limits.statement_timeout, job)
        END);
EXCEPTION WHEN invalid_parameter_value THEN
    RAISE EXCEPTION USING
        ERRCODE = 'PS003',
        MESSAGE = format('pg_cron does not take %L: %s', cron, SQLERRM),
        HINT = 'write minute, hour, day, month and day of the week, such as 0 3 * * *';
END
$function$;
COMMENT ON FUNCTION pgscore.schedule(text, text) IS
    'Has pg_cron run a refresh job at the times of a cron expression, as the caller; gives pg_cron''s number of it. Again with '
    'another expression changes that';

CREATE OR REPLACE FUNCTION pgscore.unschedule(job text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    number bigint;
    found_any boolean := false;
BEGIN
    IF NOT pgscore.can_read_cron('job') THEN
        RETURN false;
    END IF;
    FOR number IN
        SELECT c.jobid FROM cron.job AS c
        WHERE c.jobname = pgscore.cron_name(unschedule.job) AND c.database = current_database()
    LOOP
        PERFORM cron.unschedule(number);
        found_any := true;
    END LOOP;
    RETURN found_any;
END
$function$;
COMMENT ON FUNCTION pgscore.unschedule(text) IS
    'Takes away what pgscore.schedule made, of a superuser also what others made, and says whether there was any';

CREATE OR REPLACE FUNCTION pgscore.drop_refresh(job text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM pgscore.drop_build(job);
    PERFORM pgscore.set_live(job, false);
    PERFORM pgscore.drop_source_view(job);
    PERFORM pgscore.remove_job(job);
    PERFORM pgscore.unschedule(job);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_refresh(text) IS
    'Drops a refresh job, the record of its runs, its views TARGET_live and TARGET_source, and what the caller scheduled of it in '
    'pg_cron; its target table stays';

CREATE OR REPLACE FUNCTION pgscore.cron_runs()
RETURNS TABLE (job text, started_at timestamptz, state text, error text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF NOT pgscore.can_read_cron('job_run_details') THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT DISTINCT ON (called.job)
        called.job, d.start_time, d.status,
        CASE WHEN d.status = 'failed' THEN
            coalesce(nullif(pgscore.without_values(regexp_replace(d.return_message, '^ERROR:\s*', '')), ''), 'no message')
        END
    FROM cron.job_run_details AS d
    CROSS JOIN LATERAL (
        SELECT substring(
            d.command
            FROM '(?i)^\s*(?:SET\s+statement_timeout\s*=\s*''\w+''\s*;)?\s*CALL\s+pgscore\.(?:refresh|run_job)\s*\(\s*(?:job\s*=>\s*)?''([^'']*)''\s*\)\s*;?\s*$')
    ) AS called (job)
    WHERE d.database = current_database() AND called.job IS NOT NULL AND d.status IN ('succeeded', 'failed')
    ORDER BY called.job, d.runid DESC;
END
$function$;
COMMENT ON FUNCTION pgscore.cron_runs() IS
    'The last finished run through pg_cron of each refresh job, of those that pg_cron shows the caller: a superuser all, '
    'others their own; no row where pg_cron is not in this database';
