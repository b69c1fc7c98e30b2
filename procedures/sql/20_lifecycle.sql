-- The verbs of daily life: promote, roll back, drop. They work from psql alone.
--
-- Names. Version 3 of model churn has the functions score.churn_v3, score.churn_v3_label, …; the moving functions
-- score.churn, score.churn_label, … call those of the version that the alias live points to. Each name has up to two
-- functions: one takes the inputs by name, one takes a row of the bound table.
--
-- Rights. promote and rollback replace functions, which only their owner may: they run as the owner (SECURITY DEFINER),
-- and EXECUTE on them is what makes a promoter. The history records session_user, the role that logged in. All names in
-- dynamic SQL come from the catalog and go through %I; argument lists come from PostgreSQL itself, quoted and qualified
-- (search_path holds pg_catalog alone).
--
-- Locks. A promote holds the row of its alias, so two of them go one after the other. It takes the model's row only FOR
-- KEY SHARE: a deploy of the next version, which may compare answers for many seconds, does not hold up a rollback; a
-- drop does. Nobody waits longer than lock_timeout.
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
    one record;
    grantee text;
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
        FOR grantee IN
            SELECT r.rolname
            FROM pg_roles AS r
            WHERE r.rolname = 'pgscore_scorer' OR grants -> one.name ? r.rolname
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION score.%I(%s) TO %I', one.name, one.signature, grantee);
        END LOOP;
    END LOOP;
END
$function$;
COMMENT ON FUNCTION pgscore.replace_moving_functions(text, integer, jsonb, jsonb) IS
    'Makes score.MODEL and its companions call the given version. The last two arguments are versions.functions of the '
    'version that is live now (NULL: none) and of the given one. Part of promote and rollback';

CREATE OR REPLACE FUNCTION pgscore.move_alias(model_id integer, alias text, to_version integer, action text)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    is_now record;
    target record;
BEGIN
    SELECT v.version, v.functions INTO is_now
    FROM pgscore.aliases AS a
    JOIN pgscore.versions AS v USING (version_id)
    WHERE a.model_id = move_alias.model_id AND a.alias = move_alias.alias;

    SELECT m.name AS model, v.version_id, v.functions INTO STRICT target
    FROM pgscore.versions AS v
    JOIN pgscore.models AS m USING (model_id)
    WHERE v.model_id = move_alias.model_id AND v.version = move_alias.to_version;

    IF alias = 'live' THEN
        PERFORM pgscore.replace_moving_functions(target.model, to_version, is_now.functions, target.functions);
    END IF;

    INSERT INTO pgscore.aliases AS a (model_id, alias, version_id)
    VALUES (move_alias.model_id, move_alias.alias, target.version_id)
    ON CONFLICT ON CONSTRAINT aliases_pkey DO UPDATE SET version_id = EXCLUDED.version_id;

    INSERT INTO pgscore.history (model_id, model, alias, action, from_version, to_version)
    VALUES (
        move_alias.model_id, target.model, move_alias.alias, move_alias.action, is_now.version, move_alias.to_version);
    RETURN is_now.version;
END
$function$;
COMMENT ON FUNCTION pgscore.move_alias(integer, text, integer, text) IS
    'Points the alias to the version, moves score.MODEL with it where the alias is live, and records it. The caller '
    'holds the locks. Gives the version before (NULL: none). Part of promote and rollback';

CREATE OR REPLACE FUNCTION pgscore.hold_alias(model text, alias text)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    found_id integer;
BEGIN
    SELECT m.model_id INTO found_id
    FROM pgscore.models AS m
    WHERE m.name = hold_alias.model
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %L', model),
            HINT = 'see pgscore.model_overview';
    END IF;
    PERFORM FROM pgscore.aliases AS a
    WHERE a.model_id = found_id AND a.alias = hold_alias.alias
    FOR UPDATE;
    RETURN found_id;
END
$function$;
COMMENT ON FUNCTION pgscore.hold_alias(text, text) IS
    'The model''s id, with its alias locked to the end of the transaction. Part of promote and rollback';

CREATE OR REPLACE FUNCTION pgscore.promote(model text, version integer, alias text DEFAULT 'live')
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    held CONSTANT integer := pgscore.hold_alias(model, alias);
    is_now integer;
BEGIN
    IF alias IS NULL OR alias !~ '^[a-z][a-z0-9_]*$' OR octet_length(alias) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for an alias', alias),
            HINT = 'use lower-case letters, digits and _, and begin with a letter';
    END IF;
    PERFORM FROM pgscore.versions AS v WHERE v.model_id = held AND v.version = promote.version;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('model %s has no version %s', model, coalesce(version::text, 'NULL')),
            HINT = format('its versions: %s', (
                SELECT string_agg(v.version::text, ', ' ORDER BY v.version)
                FROM pgscore.versions AS v
                WHERE v.model_id = held));
    END IF;

    SELECT v.version INTO is_now
    FROM pgscore.aliases AS a
    JOIN pgscore.versions AS v USING (version_id)
    WHERE a.model_id = held AND a.alias = promote.alias;
    IF is_now = version THEN
        RETURN is_now;
    END IF;
    RETURN pgscore.move_alias(held, alias, version, 'promote');
END
$function$;
COMMENT ON FUNCTION pgscore.promote(text, integer, text) IS
    'Points the alias to the version; for the alias live, score.MODEL calls that version from the commit on. Gives the '
    'version before (NULL: none). Where the alias points there already, nothing happens. Refused while something '
    'stores results of score.MODEL, or depends on it and the signature changes';

CREATE OR REPLACE FUNCTION pgscore.rollback(model text, alias text DEFAULT 'live')
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $function$
DECLARE
    held CONSTANT integer := pgscore.hold_alias(model, alias);
    past integer[] := '{}';
    event record;
    previous integer;
BEGIN
    -- The stack of versions: a promote pushes one; a rollback pops back to the version that it went to.
    FOR event IN
        SELECT h.action, h.to_version
        FROM pgscore.history AS h
        WHERE h.model_id = held AND h.alias = rollback.alias
        ORDER BY h.history_id
    LOOP
        IF event.action = 'promote' THEN
            past := past || event.to_version;
        ELSE
            past := trim_array(past, 1);
            WHILE past[cardinality(past)] <> event.to_version LOOP
                past := trim_array(past, 1);
            END LOOP;
        END IF;
    END LOOP;

    -- Versions that were dropped meanwhile are passed over.
    SELECT step.version INTO previous
    FROM unnest(past) WITH ORDINALITY AS step (version, position)
    JOIN pgscore.versions AS v ON v.model_id = held AND v.version = step.version
    WHERE step.version <> past[cardinality(past)]
    ORDER BY step.position DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%s: alias %s has no earlier version to go back to', model, alias),
            HINT = format('SELECT pgscore.promote(%L, VERSION) chooses any version', model);
    END IF;
    PERFORM pgscore.move_alias(held, alias, previous, 'rollback');
    RETURN previous;
END
$function$;
COMMENT ON FUNCTION pgscore.rollback(text, text) IS
    'Points the alias to the version that it had before the present one was promoted, and gives its number. The '
    'promotes of an alias form a stack, and a rollback takes the top off: after promotes of 1, 2, 3, one rollback goes '
    'to 2, the next to 1, and a third is refused. A promote puts its version on what is left: after 1, 2, 3, rollback, '
    'promote 4, a rollback goes to 2. Dropped versions are passed over';

CREATE OR REPLACE FUNCTION pgscore.drop_functions(names text[], of_what text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    dropped CONSTANT oid[] := pgscore.functions_named(names);
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
COMMENT ON FUNCTION pgscore.drop_functions(text[], text) IS
    'Drops the functions of these names in schema score; refused, naming it, while anything depends on them';

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
    SELECT m.model_id, v.version_id, v.functions, v.onnx_sha256 INTO dropped
    FROM pgscore.models AS m
    JOIN pgscore.versions AS v USING (model_id)
    WHERE m.name = drop_version.model AND v.version = drop_version.version
    FOR UPDATE OF m;
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
    DELETE FROM pgscore.onnx_graphs AS g
    WHERE g.sha256 = dropped.onnx_sha256
      AND NOT EXISTS (SELECT FROM pgscore.versions AS v WHERE v.onnx_sha256 = g.sha256);
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
    graphs text[];
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

    SELECT array_agg(v.onnx_sha256) INTO graphs FROM pgscore.versions AS v WHERE v.model_id = dropped_id;
    DELETE FROM pgscore.aliases AS a WHERE a.model_id = dropped_id;
    DELETE FROM pgscore.versions AS v WHERE v.model_id = dropped_id;
    DELETE FROM pgscore.onnx_graphs AS g
    WHERE g.sha256 = ANY (graphs)
      AND NOT EXISTS (SELECT FROM pgscore.versions AS v WHERE v.onnx_sha256 = g.sha256);
    DELETE FROM pgscore.models AS m WHERE m.model_id = dropped_id;
    INSERT INTO pgscore.history (model_id, model, action, note)
    VALUES (dropped_id, drop_model.model, 'drop', 'the model and all its versions');
END
$function$;
COMMENT ON FUNCTION pgscore.drop_model(text) IS
    'Drops a model: its functions, versions and aliases. Its history stays. Refused, naming it, while anything depends '
    'on its functions';
