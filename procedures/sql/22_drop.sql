-- Drop a version or a model. Refused, naming it, while anything depends on its functions.
--
-- Locks. A drop holds the model's row against all that deploys, promotes or drops it, and only then looks at its versions.
--
-- Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.drop_unused_graphs()
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    unused text[];
BEGIN
    -- One drop at a time: of two that each drop one version of a graph, the second must see that it was the last.
    PERFORM pg_advisory_xact_lock(hashtext('pgscore.onnx_graphs'), 0);
    -- Graphs that a deploy holds at this moment are left to it. With the others locked, the second look is final.
    unused := ARRAY(
        SELECT g.sha256
        FROM pgscore.onnx_graphs AS g
        WHERE NOT EXISTS (SELECT FROM pgscore.versions AS v WHERE v.onnx_sha256 = g.sha256)
        FOR UPDATE SKIP LOCKED);
    DELETE FROM pgscore.onnx_graphs AS g
    WHERE g.sha256 = ANY (unused)
      AND NOT EXISTS (SELECT FROM pgscore.versions AS v WHERE v.onnx_sha256 = g.sha256);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_unused_graphs() IS 'Deletes the ONNX graphs that no version uses. Part of the drops';

CREATE OR REPLACE FUNCTION pgscore.drop_version(model text, version integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    dropped record;
    pointing text;
BEGIN
    -- First the lock: what another drop did while this one waited is seen only by a statement that begins after it.
    PERFORM FROM pgscore.models AS m WHERE m.name = drop_version.model FOR UPDATE;
    SELECT m.model_id, v.version_id, v.functions INTO dropped
    FROM pgscore.models AS m
    JOIN pgscore.versions AS v USING (model_id)
    WHERE m.name = drop_version.model AND v.version = drop_version.version;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %L with a version %s', model, coalesce(version::text, 'NULL')),
            HINT = 'see pgscore.version_overview';
    END IF;
    SELECT string_agg(a.alias, ', ' ORDER BY a.alias) INTO pointing
    FROM pgscore.aliases AS a
    WHERE a.model_id = dropped.model_id AND a.version_id = dropped.version_id;
    IF pointing IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('version %s of %s is in use: it is %s', version, model, pointing),
            HINT = 'promote another version first, or drop the whole model';
    END IF;

    PERFORM pgscore.drop_functions(
        pgscore.function_names(format('%s_v%s', model, version), dropped.functions),
        format('version %s of %s', version, model));
    DELETE FROM pgscore.versions AS v WHERE v.version_id = dropped.version_id;
    PERFORM pgscore.drop_unused_graphs();
    INSERT INTO pgscore.history (model_id, model, action, from_version)
    VALUES (dropped.model_id, drop_version.model, 'drop', drop_version.version);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_version(text, integer) IS
    'Drops a version that no alias points to, with its functions. Its number is not given again';

CREATE OR REPLACE FUNCTION pgscore.drop_model(model text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    dropped_id integer;
    names text[];
BEGIN
    SELECT m.model_id INTO dropped_id FROM pgscore.models AS m WHERE m.name = drop_model.model FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %L', model),
            HINT = 'see pgscore.model_overview';
    END IF;

    -- The moving functions carry the suffixes of the live version only.
    SELECT array_agg(n.name) INTO names
    FROM pgscore.versions AS v
    LEFT JOIN pgscore.aliases AS a ON a.version_id = v.version_id AND a.alias = 'live'
    CROSS JOIN LATERAL (
        SELECT unnest(pgscore.function_names(format('%s_v%s', drop_model.model, v.version), v.functions))
        UNION ALL
        SELECT unnest(pgscore.function_names(drop_model.model, v.functions)) WHERE a.alias IS NOT NULL
    ) AS n (name)
    WHERE v.model_id = dropped_id;
    PERFORM pgscore.drop_functions(coalesce(names, '{}'), format('model %s', model));

    DELETE FROM pgscore.aliases AS a WHERE a.model_id = dropped_id;
    DELETE FROM pgscore.versions AS v WHERE v.model_id = dropped_id;
    PERFORM pgscore.drop_unused_graphs();
    DELETE FROM pgscore.models AS m WHERE m.model_id = dropped_id;
    INSERT INTO pgscore.history (model_id, model, action, note)
    VALUES (dropped_id, drop_model.model, 'drop', 'the model and all its versions');
END
$function$;
COMMENT ON FUNCTION pgscore.drop_model(text) IS
    'Drops a model: its functions, versions and aliases. Its history stays. Refused, naming it, while anything depends '
    'on its functions';
