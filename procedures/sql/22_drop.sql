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

CREATE OR REPLACE FUNCTION pgscore.drop_version(model text, version integer, why text DEFAULT NULL)
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
    SELECT m.model_id, v.version_id, v.sha256 INTO dropped
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

    PERFORM pgscore.drop_functions(pgscore.functions_of(model, version), format('version %s of %s', version, model));
    DELETE FROM pgscore.versions AS v WHERE v.version_id = dropped.version_id;
    PERFORM pgscore.drop_unused_graphs();
    INSERT INTO pgscore.history (model_id, model, action, from_version, note, sha256)
    VALUES (dropped.model_id, drop_version.model, 'drop', drop_version.version, why, dropped.sha256);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_version(text, integer, text) IS
    'Drops a version that no alias points to, with its functions. Its number is not given again';

CREATE OR REPLACE FUNCTION pgscore.drop_model(model text, why text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    dropped_id integer;
BEGIN
    SELECT m.model_id INTO dropped_id FROM pgscore.models AS m WHERE m.name = drop_model.model FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %L', model),
            HINT = 'see pgscore.model_overview';
    END IF;

    PERFORM pgscore.drop_functions(pgscore.calls_of(model), format('model %s', model));

    DELETE FROM pgscore.aliases AS a WHERE a.model_id = dropped_id;
    DELETE FROM pgscore.versions AS v WHERE v.model_id = dropped_id;
    PERFORM pgscore.drop_unused_graphs();
    DELETE FROM pgscore.models AS m WHERE m.model_id = dropped_id;
    INSERT INTO pgscore.history (model_id, model, action, note)
    VALUES (dropped_id, drop_model.model, 'drop', concat_ws(': ', 'the model and all its versions', why));
END
$function$;
COMMENT ON FUNCTION pgscore.drop_model(text, text) IS
    'Drops a model: its functions, versions and aliases. Its history stays. Refused, naming it, while anything depends '
    'on its functions';

CREATE OR REPLACE FUNCTION pgscore.drop_alias(model text, alias text, why text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    held CONSTANT integer := pgscore.hold_alias(model, alias);
    jobs text;
    pointed integer;
BEGIN
    IF alias = 'live' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('live is what score.%s calls', model),
            HINT = 'promote another version, or drop the model';
    END IF;
    SELECT string_agg(j.name, ', ' ORDER BY j.name) INTO jobs
    FROM pgscore.jobs AS j
    WHERE j.model_id = held AND drop_alias.alias IN (j.alias, j.challenger);
    IF jobs IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('alias %s of model %s is used by refresh job %s', alias, model, jobs),
            HINT = 'drop the job first, or give it another challenger: SELECT pgscore.set_challenger(…)';
    END IF;
    DELETE FROM pgscore.aliases AS a
    USING pgscore.versions AS v
    WHERE a.model_id = held AND a.alias = drop_alias.alias AND v.version_id = a.version_id
    RETURNING v.version INTO pointed;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('model %s has no alias %L', model, alias),
            HINT = 'see pgscore.model_overview';
    END IF;
    INSERT INTO pgscore.history (model_id, model, alias, action, from_version, note)
    VALUES (held, drop_alias.model, drop_alias.alias, 'unalias', pointed, why);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_alias(text, text, text) IS
    'Drops an alias; the version stays. Not live, and none that a refresh job uses';

CREATE OR REPLACE FUNCTION pgscore.refuse_delete_by_hand()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF (CASE TG_TABLE_NAME
           WHEN 'versions' THEN (
               SELECT pgscore.functions_of(m.name, (to_jsonb(OLD) ->> 'version')::integer) <> '{}'
               FROM pgscore.models AS m
               WHERE m.model_id = (to_jsonb(OLD) ->> 'model_id')::integer)
           -- Rows go with their version.
           ELSE EXISTS (SELECT FROM pgscore.versions AS v WHERE v.version_id = OLD.version_id)
       END) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%s on pgscore.%I is refused: the version is there', TG_OP, TG_TABLE_NAME),
            HINT = 'SELECT pgscore.drop_version(…)';
    END IF;
    RETURN OLD;
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_delete_by_hand() IS 'Trigger: a version''s rows are not deleted while its functions are there';

CREATE OR REPLACE TRIGGER versions_are_dropped_whole
    BEFORE DELETE ON pgscore.versions
    FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_delete_by_hand();
CREATE OR REPLACE TRIGGER parity_cases_go_with_their_version
    BEFORE DELETE ON pgscore.parity_cases
    FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_delete_by_hand();

CREATE OR REPLACE FUNCTION pgscore.refuse_renaming()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF (NEW.model_id, NEW.name, NEW.created_at, NEW.created_by) IS DISTINCT FROM (OLD.model_id, OLD.name, OLD.created_at, OLD.created_by)
       OR NEW.last_version < OLD.last_version THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('UPDATE on pgscore.models is refused: model %s keeps its name and its numbers', OLD.name);
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_renaming() IS 'Trigger: of a model only last_version changes, and upwards';

CREATE OR REPLACE TRIGGER models_keep_their_names
    BEFORE UPDATE ON pgscore.models
    FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_renaming();
