-- A model for a role: grant_model('churn', 'analyst') lets analyst call the functions of churn, of all versions to come
-- too, and of no other model. What is granted is read from the rights on the functions; the history says who gave it.
--
-- Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.grant_model(model text, role name)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    held integer;
BEGIN
    IF to_regrole(quote_ident(role)) IS NULL OR role = 'public' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = CASE role WHEN 'public' THEN 'nothing is granted to PUBLIC' ELSE format('there is no role %I', role) END;
    END IF;
    -- Deploys, promotes and drops of the model wait for it, and it for them.
    SELECT m.model_id INTO held FROM pgscore.models AS m WHERE m.name = grant_model.model FOR UPDATE;
    IF role = ANY (pgscore.grantees(model)) THEN
        RETURN false;
    END IF;
    PERFORM pgscore.let_call(pgscore.calls_of(model), ARRAY[role::text]);
    IF NOT (has_schema_privilege(role, 'score', 'USAGE') AND has_schema_privilege(role, 'pgscore', 'USAGE')) THEN
        EXECUTE format('GRANT USAGE ON SCHEMA score, pgscore TO %I', role);
    END IF;
    PERFORM pgscore.let_call(pgscore.dynamic_calls(), ARRAY[role::text]);
    INSERT INTO pgscore.history (model_id, model, action, note) VALUES (held, grant_model.model, 'grant', role);
    RETURN true;
END
$function$;
COMMENT ON FUNCTION pgscore.grant_model(text, name) IS
    'Lets the role call the model: its functions in schema score, of each version, and pgscore.score. Gives false where it '
    'may already';

CREATE OR REPLACE FUNCTION pgscore.revoke_model(model text, role name)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    held integer;
BEGIN
    SELECT m.model_id INTO held FROM pgscore.models AS m WHERE m.name = revoke_model.model FOR UPDATE;
    IF NOT role = ANY (pgscore.grantees(model)) THEN
        PERFORM pgscore.calls_of(model);
        RETURN false;
    END IF;
    EXECUTE (
        SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM %I', string_agg(f::regprocedure::text, ', '), role)
        FROM unnest(pgscore.calls_of(model)) AS f);
    IF NOT EXISTS (SELECT FROM pgscore.models AS m WHERE role = ANY (pgscore.grantees(m.name))) THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA score, pgscore FROM %I', role);
        EXECUTE (
            SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM %I', string_agg(f::regprocedure::text, ', '), role)
            FROM unnest(pgscore.dynamic_calls()) AS f);
    END IF;
    INSERT INTO pgscore.history (model_id, model, action, note) VALUES (held, revoke_model.model, 'revoke', role);
    RETURN true;
END
$function$;
COMMENT ON FUNCTION pgscore.revoke_model(text, name) IS
    'Takes back what grant_model gave; false where there is nothing to take. What the role has as a member of another '
    'role, such as pgscore_scorer, stays';

CREATE OR REPLACE FUNCTION pgscore.dynamic_calls()
RETURNS oid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT array_agg(p.oid ORDER BY p.oid)
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgscore'::regnamespace AND p.proname IN (
        'score', 'resolve', 'warm_up', 'functions_to_warm',
        'served_version', 'is_queued', 'live_query', 'compute_live')
$function$;
COMMENT ON FUNCTION pgscore.dynamic_calls() IS 'The functions that call a model by its name, and those of live views; whoever may call a model may call them';
