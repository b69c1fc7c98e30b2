-- The functions of a model, as the verbs below find, replace and drop them.
--
-- Names. Version 3 of model churn has the functions score.churn_v3, score.churn_v3_label, …; the moving functions
-- score.churn, score.churn_label, … call those of the version that the alias live points to. Each name has up to two
-- functions: one takes the inputs by name, one takes a row of the bound table.
--
-- All names in dynamic SQL come from the catalog and go through %I; argument lists come from PostgreSQL itself, quoted
-- and qualified (search_path holds pg_catalog alone).
--
-- Errors. PS001: does not exist. PS002: refused by the state of the database. PS003: not a name. PS004: an input is
-- missing or has the wrong type. PS005: a right is missing. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.functions_named(names text[])
RETURNS oid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(array_agg(p.oid ORDER BY p.oid), '{}')
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'score' AND p.proname = ANY (names)
$function$;
COMMENT ON FUNCTION pgscore.functions_named(text[]) IS
    'The functions of these names in schema score, in the order of creation';

CREATE OR REPLACE FUNCTION pgscore.function_names(base text, functions jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT array_agg(base || CASE f ->> 'suffix' WHEN '' THEN '' ELSE '_' || (f ->> 'suffix') END)
    FROM jsonb_array_elements(functions) AS f
$function$;
COMMENT ON FUNCTION pgscore.function_names(text, jsonb) IS
    'The names of a version''s functions (versions.functions) that begin with base: churn, churn_label, …';

CREATE OR REPLACE FUNCTION pgscore.functions_of(model text, version integer)
RETURNS oid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(array_agg(p.oid ORDER BY p.oid), '{}')
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'score' AND p.proname ~ format('^%s_v%s(_[a-z]+)?$', model, version)
$function$;
COMMENT ON FUNCTION pgscore.functions_of(text, integer) IS
    'All functions of a version, in the order of creation; of one with an ONNX graph also …_features and …_outputs';

CREATE OR REPLACE FUNCTION pgscore.calls_of(model text)
RETURNS oid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    found_id integer;
    functions oid[];
    number integer;
BEGIN
    SELECT m.model_id INTO found_id FROM pgscore.models AS m WHERE m.name = calls_of.model;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %L', model),
            HINT = 'see pgscore.model_overview';
    END IF;
    -- The moving functions carry the suffixes of the live version only.
    SELECT pgscore.functions_named(pgscore.function_names(calls_of.model, v.functions)) INTO functions
    FROM pgscore.aliases AS a
    JOIN pgscore.versions AS v USING (version_id)
    WHERE a.model_id = found_id AND a.alias = 'live';
    FOR number IN SELECT v.version FROM pgscore.versions AS v WHERE v.model_id = found_id LOOP
        functions := functions || pgscore.functions_of(model, number);
    END LOOP;
    RETURN coalesce(functions, '{}');
END
$function$;
COMMENT ON FUNCTION pgscore.calls_of(text) IS 'All functions of a model in schema score: the moving ones and those of each version';

CREATE OR REPLACE FUNCTION pgscore.grantees(model text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(array_agg(DISTINCT r.rolname::text ORDER BY r.rolname::text), '{}')
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL aclexplode(p.proacl) AS acl
    JOIN pg_roles AS r ON r.oid = acl.grantee
    WHERE n.nspname = 'score' AND p.proname ~ format('^%s_v[0-9]+$', model)
      AND acl.privilege_type = 'EXECUTE' AND acl.grantee <> p.proowner
      AND r.rolname NOT IN ('pgscore_owner', 'pgscore_deployer', 'pgscore_scorer')
$function$;
COMMENT ON FUNCTION pgscore.grantees(text) IS
    'The roles that the model was granted to, read from the rights on its versions'' functions';

CREATE OR REPLACE FUNCTION pgscore.callers(model text)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT pgscore.grantees(model)
        || ARRAY(SELECT r.rolname::text FROM pg_roles AS r WHERE r.rolname IN ('pgscore_deployer', 'pgscore_scorer'))
$function$;
COMMENT ON FUNCTION pgscore.callers(text) IS
    'The roles that may call the model''s functions: its grantees, and those that may call all models';

CREATE OR REPLACE FUNCTION pgscore.let_call(functions oid[], roles text[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF functions <> '{}' AND roles <> '{}' THEN
        EXECUTE format(
            'GRANT EXECUTE ON FUNCTION %s TO %s',
            (SELECT string_agg(f::regprocedure::text, ', ') FROM unnest(functions) AS f),
            (SELECT string_agg(quote_ident(r), ', ') FROM unnest(roles) AS r));
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.let_call(oid[], text[]) IS 'Grants EXECUTE on the functions to the roles';

CREATE OR REPLACE FUNCTION pgscore.dependants(functions oid[])
RETURNS TABLE (object text, direct boolean, stores boolean)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    WITH RECURSIVE uses (classid, objid, direct) AS (
        SELECT 'pg_proc'::regclass::oid, f, NULL::boolean
        FROM unnest(functions) AS f
        UNION
        SELECT
            -- A view uses a function through its rule.
            CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass::oid END,
            coalesce(r.ev_class, d.objid),
            u.direct IS NULL
        FROM uses AS u
        JOIN pg_depend AS d ON d.refclassid = u.classid AND d.refobjid = u.objid AND d.deptype IN ('n', 'a')
        LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        -- On through what computes anew each time: functions, operators, views.
        WHERE u.classid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
           OR u.classid = 'pg_class'::regclass
              AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = u.objid AND c.relkind = 'v')
    )
    SELECT DISTINCT
        CASE
            WHEN a.attgenerated <> '' THEN format('generated column %I of table %s', a.attname, a.attrelid::regclass)
            ELSE pg_describe_object(u.classid, u.objid, 0)
        END,
        u.direct,
        -- Indexes, materialised views, partition keys; generated columns; checks that let rows in.
        coalesce(c.relkind <> 'v' OR a.attgenerated <> '' OR k.oid IS NOT NULL, false)
    FROM uses AS u
    LEFT JOIN pg_class AS c ON u.classid = 'pg_class'::regclass AND c.oid = u.objid
    LEFT JOIN pg_attrdef AS e ON u.classid = 'pg_attrdef'::regclass AND e.oid = u.objid
    LEFT JOIN pg_attribute AS a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
    LEFT JOIN pg_constraint AS k ON u.classid = 'pg_constraint'::regclass AND k.oid = u.objid
    WHERE u.direct IS NOT NULL
      AND NOT (u.classid = 'pg_proc'::regclass AND u.objid = ANY (functions))
$function$;
COMMENT ON FUNCTION pgscore.dependants(oid[]) IS
    'What uses these functions, directly or through views, functions and operators, and whether it stores results: an '
    'index, a generated column, a check constraint, a materialised view or a partition key keeps what the functions '
    'gave when the row was written';

CREATE OR REPLACE FUNCTION pgscore.replace_moving_functions(
    model text, version integer, old_functions jsonb, new_functions jsonb
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    versioned CONSTANT text := format('%s_v%s', model, version);
    is_now CONSTANT oid[] := CASE
        WHEN old_functions IS NULL THEN '{}'
        ELSE pgscore.functions_named(pgscore.function_names(model, old_functions))
    END;
    target CONSTANT oid[] := pgscore.functions_named(pgscore.function_names(versioned, new_functions));
    users text;
    schema_name text;
    grants jsonb;
    callers CONSTANT text[] := pgscore.callers(model);
    one record;
BEGIN
    IF target = '{}' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('the functions of %s version %s are gone', model, version),
            HINT = 'deploy the model again';
    END IF;

    -- An argument's type is named in CREATE FUNCTION, which takes USAGE on its schema.
    SELECT n.nspname INTO schema_name
    FROM pg_proc AS p
    CROSS JOIN LATERAL unnest(p.proargtypes) AS argument (type)
    JOIN pg_type AS t ON t.oid = argument.type
    JOIN pg_namespace AS n ON n.oid = t.typnamespace
    WHERE p.oid = ANY (target) AND NOT has_schema_privilege(n.oid, 'USAGE')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS005',
            MESSAGE = format(
                'role %s may not use schema %I, which holds the table of %s', current_user, schema_name, model),
            HINT = format('GRANT USAGE ON SCHEMA %I TO %I', schema_name, current_user);
    END IF;

    SELECT string_agg(d.object, ', ' ORDER BY d.object) INTO users
    FROM pgscore.dependants(is_now) AS d
    WHERE d.stores;
    IF users IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format(
                'score.%s cannot move to version %s: %s would keep results of the old one', model, version, users),
            HINT = format('drop it, or build it on the function of one version, such as score.%s', versioned);
    END IF;

    -- Rights that users gave on a moving function outlive a change of its signature.
    SELECT coalesce(jsonb_object_agg(granted.name, granted.roles), '{}') INTO grants
    FROM (
        SELECT p.proname, jsonb_agg(DISTINCT g.rolname)
        FROM pg_proc AS p
        CROSS JOIN LATERAL aclexplode(p.proacl) AS acl
        JOIN pg_roles AS g ON g.oid = acl.grantee
        WHERE p.oid = ANY (is_now) AND acl.privilege_type = 'EXECUTE' AND acl.grantee <> p.proowner
        GROUP BY p.proname
    ) AS granted (name, roles);

    -- CREATE OR REPLACE keeps what depends on a function, but cannot change its result type nor its arguments' names.
    FOR one IN
        SELECT old.oid, old.oid::regprocedure AS signature, old.prorettype, new.prorettype AS new_result
        FROM pg_proc AS old
        LEFT JOIN pg_proc AS new
            ON new.oid = ANY (target)
           AND new.proname = versioned || substr(old.proname, length(model) + 1)
           AND new.proargtypes = old.proargtypes
        WHERE old.oid = ANY (is_now)
          AND (new.oid IS NULL
               OR new.prorettype <> old.prorettype
               OR new.proargnames IS DISTINCT FROM old.proargnames)
    LOOP
        SELECT string_agg(d.object, ', ' ORDER BY d.object) INTO users
        FROM pgscore.dependants(ARRAY[one.oid]) AS d
        WHERE d.direct;
        IF users IS NOT NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS002',
                MESSAGE = format(
                    '%s cannot move to version %s: %s, and %s depends on it',
                    one.signature,
                    version,
                    CASE
                        WHEN one.new_result IS NULL THEN 'that version takes other inputs'
                        WHEN one.new_result <> one.prorettype THEN
                            format('its result changes from %s to %s',
                                   format_type(one.prorettype, NULL), format_type(one.new_result, NULL))
                        ELSE 'its inputs are named otherwise'
                    END,
                    users),
                HINT = format('drop it first, or build it on score.%s', versioned);
        END IF;
        EXECUTE format('DROP FUNCTION %s RESTRICT', one.signature);
    END LOOP;

    FOR one IN
        SELECT
            model || substr(p.proname, length(versioned) + 1) AS name,
            p.proname AS calls,
            p.proargtypes,
            pg_get_function_arguments(p.oid) AS arguments,
            pg_get_function_identity_arguments(p.oid) AS signature,
            format_type(p.prorettype, NULL) AS result,
            -- By position: each has the very type that the called function declares, so the call is never ambiguous.
            (SELECT coalesce(string_agg('$' || i, ', ' ORDER BY i), '')
             FROM generate_series(1, p.pronargs) AS i) AS passed,
            obj_description(p.oid, 'pg_proc') AS description
        FROM pg_proc AS p
        WHERE p.oid = ANY (target)
        ORDER BY p.oid
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION score.%I(%s) RETURNS %s LANGUAGE sql STABLE PARALLEL SAFE RETURN score.%I(%s)',
            one.name, one.arguments, one.result, one.calls, one.passed);
        EXECUTE format('COMMENT ON FUNCTION score.%I(%s) IS %L', one.name, one.signature, 'live: ' || one.description);
        EXECUTE format('REVOKE ALL ON FUNCTION score.%I(%s) FROM PUBLIC', one.name, one.signature);
        PERFORM pgscore.let_call(
            ARRAY(SELECT p.oid FROM pg_proc AS p
                  WHERE p.oid = ANY (pgscore.functions_named(ARRAY[one.name])) AND p.proargtypes = one.proargtypes),
            callers || ARRAY(SELECT jsonb_array_elements_text(grants -> one.name)));
    END LOOP;
END
$function$;
COMMENT ON FUNCTION pgscore.replace_moving_functions(text, integer, jsonb, jsonb) IS
    'Makes score.MODEL and its companions call the given version. The last two arguments are versions.functions of the '
    'version that is live now (NULL: none) and of the given one. Part of promote and rollback';

CREATE OR REPLACE FUNCTION pgscore.drop_functions(dropped oid[], of_what text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    users text;
BEGIN
    SELECT string_agg(d.object, ', ' ORDER BY d.object) INTO users
    FROM pgscore.dependants(dropped) AS d
    WHERE d.direct;
    IF users IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%s cannot be dropped: %s depends on its functions', of_what, users),
            HINT = 'drop that first';
    END IF;
    IF dropped <> '{}' THEN
        EXECUTE (
            SELECT format('DROP FUNCTION %s RESTRICT', string_agg(f::regprocedure::text, ', '))
            FROM unnest(dropped) AS f);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.drop_functions(oid[], text) IS
    'Drops the functions; refused, naming it, while anything else depends on them';
