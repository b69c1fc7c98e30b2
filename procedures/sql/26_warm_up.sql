-- The first score of a session takes longer than the next ones: PostgreSQL compiles a plpgsql function, and PL/Python imports
-- its libraries and loads the graph, when a session first calls them. warm_up does it before a row waits: for a pool of
-- connections, when one is opened.
--
-- Rights. As pgscore.score, it runs as its caller, who needs EXECUTE on the version's functions; functions_to_warm alone reads the
-- catalog, as the owner.

CREATE OR REPLACE FUNCTION pgscore.functions_to_warm(reference text)
RETURNS TABLE (model text, version integer, strategy text, name text, runs_as text)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT
        r.model, r.version, v.strategy, n.name,
        -- 0.1.0 recorded languages alone.
        coalesce(f.function ->> 'strategy', CASE v.strategy WHEN 'onnx' THEN 'onnx' ELSE f.function ->> 'language' END)
    FROM pgscore.resolve(reference) AS r
    JOIN pgscore.models AS m ON m.name = r.model
    JOIN pgscore.versions AS v ON v.model_id = m.model_id AND v.version = r.version
    CROSS JOIN LATERAL unnest(pgscore.function_names(r.name, v.functions)) WITH ORDINALITY AS n (name, place)
    JOIN LATERAL jsonb_array_elements(v.functions) WITH ORDINALITY AS f (function, place) USING (place)
$function$;
COMMENT ON FUNCTION pgscore.functions_to_warm(text) IS
    'The functions of the version that churn, churn@champion or churn@3 means, with their strategies. Runs as the owner, so '
    'that a scorer need not read the catalog. Part of warm_up';

CREATE OR REPLACE FUNCTION pgscore.warm_up(model text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    called record;
    part record;
    inputs text;
    warmed text[] := '{}';
    strategy text;
    started CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT r.* INTO STRICT called FROM pgscore.resolve(warm_up.model) AS r;
    IF called.row_type IS NULL THEN
        SELECT string_agg('NULL::' || p.type, ', ' ORDER BY p.place) INTO inputs
        FROM ROWS FROM (jsonb_to_recordset(called.parameters) AS (name text, type text)) WITH ORDINALITY AS p (name, type, place);
    ELSE
        inputs := 'NULL::' || called.row_type;
    END IF;
    FOR part IN SELECT f.* FROM pgscore.functions_to_warm(warm_up.model) AS f LOOP
        strategy := part.strategy;
        IF part.runs_as <> 'sql' THEN
            EXECUTE format('SELECT score.%I(%s)', part.name, inputs);
            warmed := warmed || part.name;
        END IF;
    END LOOP;
    RETURN jsonb_build_object(
        'model', called.model,
        'version', called.version,
        'strategy', strategy,
        'functions', to_jsonb(warmed),
        'milliseconds', round(extract(epoch FROM clock_timestamp() - started) * 1000, 1),
        'note', CASE WHEN warmed = '{}' THEN 'nothing to warm up: SQL is planned within each query' END);
END
$function$;
COMMENT ON FUNCTION pgscore.warm_up(text) IS
    'Makes this session ready to score with churn, churn@champion or churn@3, so that its first score is as quick as the '
    'next: calls the version''s functions once, with NULL for each input. Gives which, and how long it took. Runs as the '
    'caller, who needs EXECUTE on these functions';
