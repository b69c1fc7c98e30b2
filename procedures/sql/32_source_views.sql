-- Queries as sources: a refresh job of a query scores a view of it, which stands beside the target and goes with the job.
--
--   SELECT pgscore.create_refresh(
--       'churn_daily', 'churn',
--       pgscore.source_view('churn_daily', 'predictions.churn', 'SELECT * FROM customers WHERE active'),
--       '{id}', 'predictions.churn');
--
-- The view belongs to its creator and reads with the rights of who runs the job. Its comment says whose it is, and the query.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.source_view(
    job text, target text, query text, path text DEFAULT current_setting('search_path')
)
RETURNS regclass
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place CONSTANT text[] := pgscore.target_place(target);
    says CONSTANT text := format('Source of refresh job %s', job);
    view CONSTANT text := pgscore.view_beside(job, target, '_source', says);
    -- The line ends a comment with which the query may end.
    making CONSTANT text := format(E'CREATE VIEW %s WITH (security_invoker) AS %s\n', view, query);
    checked refcursor;
    hint text;
BEGIN
    IF job IS NULL OR query IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS003', MESSAGE = 'a source view needs its job and its query';
    END IF;
    EXECUTE format('DROP VIEW IF EXISTS %s', view);
    IF to_regnamespace(quote_ident(place[1])) IS NULL THEN
        EXECUTE format('CREATE SCHEMA %I', place[1]);
    END IF;
    BEGIN
        PERFORM pg_catalog.set_config('search_path', path, true);
        -- Takes one statement that gives rows, and runs nothing of it.
        OPEN checked FOR EXECUTE query;
        CLOSE checked;
        EXECUTE making;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
            RAISE EXCEPTION USING
                ERRCODE = 'PS004',
                MESSAGE = format('the query of refresh job %s makes no view: %s', job, SQLERRM),
                HINT = coalesce(nullif(hint, ''), 'write one SELECT, whose columns have names');
    END;
    EXECUTE format('COMMENT ON VIEW %s IS %L', view, says || E'\n' || query);
    RETURN to_regclass(view);
END
$function$;
COMMENT ON FUNCTION pgscore.source_view(text, text, text, text) IS
    'Makes the view TARGET_source of a query, as the source for create_refresh; drop_refresh drops it. The tables of the query '
    'are found in the caller''s search_path. A view that was made for the same job is replaced';

CREATE OR REPLACE FUNCTION pgscore.drop_source_view(job text, except_for regclass DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    view CONSTANT regclass := (SELECT to_regclass(j.source) FROM pgscore.job_of(job) AS j);
BEGIN
    IF view = except_for
       OR split_part(obj_description(view, 'pg_class'), E'\n', 1) IS DISTINCT FROM format('Source of refresh job %s', job)
    THEN
        RETURN;
    END IF;
    EXECUTE format('DROP VIEW %s', view);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_source_view(text, regclass) IS
    'Drops the view that source_view made for a job, unless it is except_for. Part of drop_refresh';
