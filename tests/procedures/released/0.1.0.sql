\set ON_ERROR_STOP on
\encoding UTF8

-- What `pgscore install --dry-run` of 0.1.0 prints.

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

-- 00_roles.sql: the roles
-- The roles. None can log in. They belong to the whole cluster: several databases with pgscore share them.
--
-- Install runs this file when it may create roles (a superuser, or a role with CREATEROLE). Where it may not, the
-- installer owns everything and grants by hand.
--
-- The comment marks a role as ours: uninstall drops only roles that carry it.

DO $roles$
BEGIN
    IF to_regrole('pgscore_owner') IS NULL THEN
        CREATE ROLE pgscore_owner NOLOGIN;
        COMMENT ON ROLE pgscore_owner IS 'pgscore: owns schemas, tables and functions; members deploy and drop models';
    END IF;
    IF to_regrole('pgscore_promoter') IS NULL THEN
        CREATE ROLE pgscore_promoter NOLOGIN;
        COMMENT ON ROLE pgscore_promoter IS 'pgscore: may promote and roll back versions, and read what there is';
    END IF;
    IF to_regrole('pgscore_scorer') IS NULL THEN
        CREATE ROLE pgscore_scorer NOLOGIN;
        COMMENT ON ROLE pgscore_scorer IS 'pgscore: may call the models'' functions, and see nothing of the catalog';
    END IF;
    -- A superuser acts as any role. From PostgreSQL 16 on, the creator of a role is no member of it by itself.
    IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        GRANT pgscore_owner, pgscore_promoter, pgscore_scorer TO CURRENT_USER;
    END IF;
END
$roles$;

-- The schemas: pgscore for the catalog and the procedures, score for the models' functions.
CREATE SCHEMA IF NOT EXISTS pgscore AUTHORIZATION "pgscore_owner";
CREATE SCHEMA IF NOT EXISTS score AUTHORIZATION "pgscore_owner";

-- All that follows belongs to pgscore_owner.
SET LOCAL ROLE "pgscore_owner";

-- 10_catalog.sql
-- The catalog: models, their immutable versions, aliases, and the append-only history.
--
-- Constraints and triggers hold the invariants, not the command line. Run as the owner, in the schemas that install
-- made; may run again: it changes nothing that exists.

COMMENT ON SCHEMA pgscore IS 'pgscore: the catalog of models and the procedures that manage them';
COMMENT ON SCHEMA score IS 'pgscore: the functions of the models; score.NAME is the live version of model NAME';

CREATE TABLE IF NOT EXISTS pgscore.installation (
    only_row        boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_has_one_row CHECK (only_row),
    schema_version  integer NOT NULL,
    pgscore_version text NOT NULL,
    installed_at    timestamptz NOT NULL DEFAULT now(),
    installed_by    text NOT NULL DEFAULT session_user,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    updated_by      text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE pgscore.installation IS 'One row: which pgscore installed this schema';
COMMENT ON COLUMN pgscore.installation.only_row IS 'Always true; as the key it keeps the table at one row';
COMMENT ON COLUMN pgscore.installation.schema_version IS 'Version of these tables and procedures';
COMMENT ON COLUMN pgscore.installation.pgscore_version IS 'Version of the package that installed last';
COMMENT ON COLUMN pgscore.installation.installed_at IS 'When it was installed first';
COMMENT ON COLUMN pgscore.installation.installed_by IS 'Who installed it first';
COMMENT ON COLUMN pgscore.installation.updated_at IS 'When it was installed last';
COMMENT ON COLUMN pgscore.installation.updated_by IS 'Who installed it last';

CREATE TABLE IF NOT EXISTS pgscore.models (
    model_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CONSTRAINT models_name_is_unique UNIQUE,
    last_version integer NOT NULL DEFAULT 0 CONSTRAINT models_last_version_counts_up CHECK (last_version >= 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT session_user,
    -- 40 bytes leave room for what functions append: _v2147483647_decision.
    CONSTRAINT models_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]*$' AND octet_length(name) <= 40)
);
COMMENT ON TABLE pgscore.models IS 'A model is a name; its versions do the work';
COMMENT ON COLUMN pgscore.models.model_id IS 'Key';
COMMENT ON COLUMN pgscore.models.name IS 'The name that users call: score.NAME';
COMMENT ON COLUMN pgscore.models.last_version IS
    'The highest version number given so far; never given again, also when that version is dropped. Deploy counts it '
    'up and so holds the row''s lock: two deploys of one model go one after the other';
COMMENT ON COLUMN pgscore.models.created_at IS 'When the first version was deployed';
COMMENT ON COLUMN pgscore.models.created_by IS 'Who deployed the first version';

CREATE TABLE IF NOT EXISTS pgscore.onnx_graphs (
    sha256  text PRIMARY KEY CONSTRAINT onnx_graphs_sha256_is_a_hash CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content bytea NOT NULL,
    CONSTRAINT onnx_graphs_hash_is_right CHECK (sha256 = encode(pg_catalog.sha256(content), 'hex'))
);
COMMENT ON TABLE pgscore.onnx_graphs IS 'ONNX graphs by content; versions of the same content share one';
COMMENT ON COLUMN pgscore.onnx_graphs.sha256 IS
    'SHA-256 of the content, in hexadecimal; also the key of the session cache';
COMMENT ON COLUMN pgscore.onnx_graphs.content IS 'The serialized graph, with no external data';

CREATE TABLE IF NOT EXISTS pgscore.versions (
    version_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id     integer NOT NULL REFERENCES pgscore.models (model_id),
    version      integer NOT NULL CONSTRAINT versions_version_is_positive CHECK (version > 0),
    estimator    text NOT NULL,
    kind         text NOT NULL,
    strategy     text NOT NULL CONSTRAINT versions_strategy_is_known CHECK (strategy IN ('sql', 'plpgsql', 'onnx')),
    reason       text NOT NULL,
    bound_table  text NOT NULL,
    parameters   jsonb NOT NULL CONSTRAINT versions_parameters_is_a_list CHECK (jsonb_typeof(parameters) = 'array'),
    functions    jsonb NOT NULL CONSTRAINT versions_has_a_main_function
                 CHECK (jsonb_typeof(functions) = 'array' AND functions -> 0 ->> 'suffix' IS NOT DISTINCT FROM ''),
    onnx_sha256  text CONSTRAINT versions_onnx_graph_exists REFERENCES pgscore.onnx_graphs (sha256),
    features     text[],
    sql          text NOT NULL,
    sha256       text NOT NULL,
    model_sha256 text NOT NULL,
    libraries    jsonb NOT NULL,
    parity       jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT session_user,
    CONSTRAINT versions_version_is_unique UNIQUE (model_id, version),
    CONSTRAINT versions_alias_target UNIQUE (model_id, version_id),
    CONSTRAINT versions_graph_goes_with_onnx
        CHECK ((strategy = 'onnx') = (onnx_sha256 IS NOT NULL) AND (onnx_sha256 IS NULL) = (features IS NULL))
);
COMMENT ON TABLE pgscore.versions IS 'The versions of the models; a row never changes. Functions: score.NAME_vVERSION';
COMMENT ON COLUMN pgscore.versions.version_id IS 'Key';
COMMENT ON COLUMN pgscore.versions.model_id IS 'The model';
COMMENT ON COLUMN pgscore.versions.version IS 'Number within the model, from 1 up';
COMMENT ON COLUMN pgscore.versions.estimator IS
    'The model in words, such as Pipeline(StandardScaler, LogisticRegression)';
COMMENT ON COLUMN pgscore.versions.kind IS 'What it is for: regressor, binary classifier, …';
COMMENT ON COLUMN pgscore.versions.strategy IS 'How it runs: sql (inlined), plpgsql, or onnx (PL/Python)';
COMMENT ON COLUMN pgscore.versions.reason IS 'Why this strategy';
COMMENT ON COLUMN pgscore.versions.bound_table IS
    'The table whose rows it scores, qualified and quoted, as it was called at deploy';
COMMENT ON COLUMN pgscore.versions.parameters IS
    'The inputs in order: [{"name", "type", "column"}]; column is the table''s name of it';
COMMENT ON COLUMN pgscore.versions.functions IS
    'The functions, main first: [{"suffix", "method", "result", "language", "outputs", "labels"}]; method is what it '
    'equals';
COMMENT ON COLUMN pgscore.versions.onnx_sha256 IS 'The graph, where strategy is onnx';
COMMENT ON COLUMN pgscore.versions.features IS 'The graph''s inputs in order, each as SQL over the row alias r';
COMMENT ON COLUMN pgscore.versions.sql IS 'The statements that created the functions';
COMMENT ON COLUMN pgscore.versions.sha256 IS 'Hash over everything that decides an answer: inputs, functions, graph';
COMMENT ON COLUMN pgscore.versions.model_sha256 IS 'Hash of the model file';
COMMENT ON COLUMN pgscore.versions.libraries IS 'The packages that made the model, and their versions';
COMMENT ON COLUMN pgscore.versions.parity IS
    'Report of the parity gate: rows compared and the largest difference; no values of rows';
COMMENT ON COLUMN pgscore.versions.created_at IS 'When it was deployed';
COMMENT ON COLUMN pgscore.versions.created_by IS 'Who deployed it';

CREATE TABLE IF NOT EXISTS pgscore.parity_cases (
    version_id integer PRIMARY KEY REFERENCES pgscore.versions (version_id) ON DELETE CASCADE,
    cases      jsonb NOT NULL
);
COMMENT ON TABLE pgscore.parity_cases IS 'Made-up rows with the model''s own answers, which `pgscore verify` replays';
COMMENT ON COLUMN pgscore.parity_cases.version_id IS 'The version';
COMMENT ON COLUMN pgscore.parity_cases.cases IS
    'Rows around a typical one: thresholds, categories, NULL, extreme numbers';

CREATE TABLE IF NOT EXISTS pgscore.aliases (
    model_id   integer NOT NULL REFERENCES pgscore.models (model_id),
    alias      text NOT NULL
               CONSTRAINT aliases_alias_is_plain CHECK (alias ~ '^[a-z][a-z0-9_]*$' AND octet_length(alias) <= 63),
    version_id integer NOT NULL,
    PRIMARY KEY (model_id, alias),
    -- Both columns: an alias of one model cannot point to a version of another.
    CONSTRAINT aliases_points_to_own_version
        FOREIGN KEY (model_id, version_id) REFERENCES pgscore.versions (model_id, version_id)
);
COMMENT ON TABLE pgscore.aliases IS 'Names that move from version to version; score.NAME follows the alias live';
COMMENT ON COLUMN pgscore.aliases.model_id IS 'The model';
COMMENT ON COLUMN pgscore.aliases.alias IS 'The alias, such as live or champion';
COMMENT ON COLUMN pgscore.aliases.version_id IS 'The version that it points to';

CREATE TABLE IF NOT EXISTS pgscore.history (
    history_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id     integer NOT NULL,
    model        text NOT NULL,
    alias        text,
    action       text NOT NULL
                 CONSTRAINT history_action_is_known CHECK (action IN ('deploy', 'promote', 'rollback', 'drop')),
    from_version integer,
    to_version   integer,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    by           text NOT NULL DEFAULT session_user,
    note         text,
    CONSTRAINT history_moves_name_an_alias CHECK ((action IN ('promote', 'rollback')) = (alias IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS history_of_alias ON pgscore.history (model_id, alias, history_id);
COMMENT ON TABLE pgscore.history IS 'What happened to the models. Rows are only ever added, and outlive the model';
COMMENT ON COLUMN pgscore.history.history_id IS 'Key, in the order of events of one model';
COMMENT ON COLUMN pgscore.history.model_id IS 'The model; no foreign key, as the model may be dropped';
COMMENT ON COLUMN pgscore.history.model IS 'Its name at the time';
COMMENT ON COLUMN pgscore.history.alias IS 'The alias that moved (promote, rollback)';
COMMENT ON COLUMN pgscore.history.action IS 'deploy, promote, rollback or drop';
COMMENT ON COLUMN pgscore.history.from_version IS 'Where the alias pointed before, or the version that was dropped';
COMMENT ON COLUMN pgscore.history.to_version IS 'Where the alias points now, or the version that was deployed';
COMMENT ON COLUMN pgscore.history.at IS 'When';
COMMENT ON COLUMN pgscore.history.by IS 'Who: the role that logged in, whatever role it acted as';
COMMENT ON COLUMN pgscore.history.note IS 'A word on it';

CREATE OR REPLACE FUNCTION pgscore.refuse_change()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PS002',
        MESSAGE = format('%s on pgscore.%I is refused: its rows never change', TG_OP, TG_TABLE_NAME);
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_change() IS 'Trigger of tables whose rows never change';

CREATE OR REPLACE TRIGGER history_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON pgscore.history
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();

-- Dropping a version deletes its row; nothing else touches it.
CREATE OR REPLACE TRIGGER versions_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.versions
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();
CREATE OR REPLACE TRIGGER parity_cases_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.parity_cases
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();
CREATE OR REPLACE TRIGGER onnx_graphs_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.onnx_graphs
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();

CREATE OR REPLACE FUNCTION pgscore.refuse_ambiguous_name()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- What the functions of a model append to its name.
    appended CONSTANT text := '^_(v[0-9]+(_.*)?|label|proba|decision)$';
    other text;
BEGIN
    SELECT m.name INTO other
    FROM pgscore.models AS m
    WHERE m.model_id <> NEW.model_id
      AND (starts_with(NEW.name, m.name) AND substr(NEW.name, length(m.name) + 1) ~ appended
           OR starts_with(m.name, NEW.name) AND substr(m.name, length(NEW.name) + 1) ~ appended)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('a model named %s would share function names with model %s', NEW.name, other),
            HINT = 'choose another name';
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_ambiguous_name() IS
    'Trigger: no model may be called like a function of another, as churn_v2 or churn_label beside churn';

CREATE OR REPLACE TRIGGER models_names_are_apart
    BEFORE INSERT OR UPDATE OF name ON pgscore.models
    FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_ambiguous_name();

-- 20_functions.sql
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

-- 21_promote.sql
-- Promote and roll back. They work from psql alone.
--
-- Rights. Both replace functions, which only their owner may: they run as the owner (SECURITY DEFINER), and EXECUTE on
-- them is what makes a promoter. The history records session_user, the role that logged in.
--
-- Locks. A promote holds the row of its alias, so two of them go one after the other. It takes the model's row only FOR
-- KEY SHARE: a deploy of the next version, which may compare answers for many seconds, does not hold up a rollback; a
-- drop does. Nobody waits longer than lock_timeout.
--
-- Errors are those of 20_functions.sql.

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

-- 22_drop.sql
-- Drop a version or a model. Refused, naming it, while anything depends on its functions.
--
-- Errors are those of 20_functions.sql.

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

-- 25_score.sql
-- Scoring by a model's name, for ad-hoc and dynamic calls: pgscore.score('churn', to_jsonb(c)).
--
-- Rights. score runs as its caller (SECURITY INVOKER): who may not call a version's function cannot reach it through here
-- either, and nothing that a caller brings along, such as a type with a function behind it, runs with the owner's rights.
-- resolve alone reads the catalog, as the owner.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.resolve(reference text)
RETURNS TABLE (model text, version integer, name text, parameters jsonb, row_type text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    parts CONSTANT text[] := regexp_match(reference, '^([a-z][a-z0-9_]*)(?:@([a-z][a-z0-9_]*|[1-9][0-9]{0,8}))?$');
    which CONSTANT text := coalesce(parts[2], 'live');
BEGIN
    IF parts IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L names no model', reference),
            HINT = 'write churn, churn@champion or churn@3';
    END IF;
    RETURN QUERY
    SELECT
        m.name,
        v.version,
        format('%s_v%s', m.name, v.version),
        v.parameters,
        -- Beyond 100 inputs there is only the function that takes a row.
        CASE WHEN jsonb_array_length(v.parameters) > 100 THEN (
            SELECT format_type(p.proargtypes[0], NULL)
            FROM pg_proc AS p
            WHERE p.oid = ANY (pgscore.functions_named(ARRAY[format('%s_v%s', m.name, v.version)])))
        END
    FROM pgscore.models AS m
    JOIN pgscore.versions AS v USING (model_id)
    WHERE m.name = parts[1]
      AND CASE
              WHEN which ~ '^[0-9]' THEN v.version = which::integer
              ELSE v.version_id = (
                  SELECT a.version_id FROM pgscore.aliases AS a WHERE a.model_id = m.model_id AND a.alias = which)
          END;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format(
                'there is no model %s with %s %s',
                parts[1],
                CASE WHEN which ~ '^[0-9]' THEN 'version' ELSE 'alias' END,
                which);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.resolve(text) IS
    'The version that churn, churn@champion or churn@3 means, and its inputs. Runs as the owner, so that a scorer need '
    'not read the catalog; it gives away no more than the names in schema score do';

CREATE OR REPLACE FUNCTION pgscore.score(model text, input jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    called record;
    wrong record;
    call text;
    result jsonb;
BEGIN
    SELECT r.* INTO STRICT called FROM pgscore.resolve(score.model) AS r;
    IF jsonb_typeof(input) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s version %s takes its inputs as one JSON object', called.model, called.version),
            HINT = 'such as to_jsonb(c) of a row c';
    END IF;

    -- Checked here, so that no cast below can fail: PostgreSQL's own message would show the value.
    SELECT p.name, problem.what INTO wrong
    FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN input ? p.name THEN input -> p.name ELSE input -> p."column" END
    ) AS given (value)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN given.value IS NULL THEN 'is missing'
            WHEN jsonb_typeof(given.value) = 'null' THEN NULL
            WHEN p.type = 'text' THEN
                CASE WHEN jsonb_typeof(given.value) <> 'string' THEN 'is no string' END
            WHEN p.type = 'boolean' THEN
                CASE WHEN jsonb_typeof(given.value) <> 'boolean' THEN 'is neither true nor false' END
            WHEN jsonb_typeof(given.value) = 'string' AND p.type = 'double precision' THEN
                -- What to_jsonb makes of a double that JSON cannot hold.
                CASE WHEN given.value NOT IN ('"NaN"', '"Infinity"', '"-Infinity"') THEN 'is no number' END
            WHEN jsonb_typeof(given.value) <> 'number' THEN 'is no number'
            WHEN p.type = 'integer' THEN
                CASE WHEN given.value::numeric NOT BETWEEN -2147483648 AND 2147483647
                       OR given.value::numeric <> trunc(given.value::numeric) THEN 'is no integer' END
            WHEN p.type = 'bigint' THEN
                CASE WHEN given.value::numeric NOT BETWEEN -9223372036854775808 AND 9223372036854775807
                       OR given.value::numeric <> trunc(given.value::numeric) THEN 'is no bigint' END
            ELSE
                CASE WHEN abs(given.value::numeric) > 1.7976931348623157e308
                       OR abs(given.value::numeric) < 4.95e-324 AND given.value::numeric <> 0
                     THEN 'lies outside double precision' END
        END
    ) AS problem (what)
    WHERE problem.what IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('input %I of %s version %s %s', wrong.name, called.model, called.version, wrong.what);
    END IF;

    IF called.row_type IS NULL THEN
        SELECT string_agg(
            format(
                '%I => ($1 ->> %L)::%s',
                p.name,
                CASE WHEN input ? p.name THEN p.name ELSE p."column" END,
                -- JSON may spell an integer 12.0, which only numeric reads.
                CASE WHEN p.type IN ('integer', 'bigint') THEN 'numeric::' || p.type ELSE p.type END),
            ', ')
        INTO call
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text);
    ELSE
        -- Only the model's own columns: others may hold what the row type does not take.
        SELECT jsonb_object_agg(
            p."column",
            CASE
                WHEN p.type IN ('integer', 'bigint') AND jsonb_typeof(given.value) = 'number'
                    THEN to_jsonb(trunc(given.value::numeric))
                ELSE given.value
            END)
        INTO input
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN input ? p.name THEN input -> p.name ELSE input -> p."column" END
        ) AS given (value);
        call := format('jsonb_populate_record(NULL::%s, $1)', called.row_type);
    END IF;
    EXECUTE format('SELECT to_jsonb(score.%I(%s))', called.name, call) INTO result USING input;
    RETURN result;
END
$function$;
COMMENT ON FUNCTION pgscore.score(text, jsonb) IS
    'What score.MODEL gives for the inputs in a JSON object, for ad-hoc and dynamic calls: pgscore.score(''churn'', '
    'to_jsonb(c)); ''churn@champion'' and ''churn@3'' name an alias or a version. Every input must be there (null for '
    'a missing value), others are ignored; NULL where the model refuses the row. Runs as the caller, who needs EXECUTE '
    'on the version''s function: it opens no model that the caller may not call anyway';

-- 30_jobs.sql
-- Refresh jobs and their runs: what 31_refresh.sql reads and writes of the catalog.
--
-- The functions run as the owner. They let a job be changed or recorded by members of the role that created it, and give
-- away no more than that.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE TABLE IF NOT EXISTS pgscore.jobs (
    job_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CONSTRAINT jobs_name_is_unique UNIQUE,
    model_id    integer NOT NULL CONSTRAINT jobs_model_exists REFERENCES pgscore.models (model_id),
    alias       text NOT NULL,
    source      text NOT NULL,
    key_columns text[] NOT NULL,
    target      text NOT NULL CONSTRAINT jobs_target_has_one_job UNIQUE,
    mode        text NOT NULL CONSTRAINT jobs_mode_is_known CHECK (mode IN ('full')),
    owner       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL DEFAULT session_user,
    CONSTRAINT jobs_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]*$' AND octet_length(name) <= 63),
    CONSTRAINT jobs_has_a_key CHECK (cardinality(key_columns) > 0)
);
COMMENT ON TABLE pgscore.jobs IS 'Refresh jobs: which model scores which source into which target';
COMMENT ON COLUMN pgscore.jobs.job_id IS 'Key';
COMMENT ON COLUMN pgscore.jobs.name IS 'The name that CALL pgscore.refresh takes';
COMMENT ON COLUMN pgscore.jobs.model_id IS 'The model';
COMMENT ON COLUMN pgscore.jobs.alias IS 'Each run uses the version that this alias of the model points to when it begins';
COMMENT ON COLUMN pgscore.jobs.source IS 'The table or view that is scored, qualified and quoted';
COMMENT ON COLUMN pgscore.jobs.key_columns IS 'The columns that identify a row of the source';
COMMENT ON COLUMN pgscore.jobs.target IS 'The prediction table, qualified and quoted; all its rows belong to this job';
COMMENT ON COLUMN pgscore.jobs.mode IS 'full: each run scores every row';
COMMENT ON COLUMN pgscore.jobs.owner IS 'The role that created it; its members run and drop it';
COMMENT ON COLUMN pgscore.jobs.created_at IS 'When it was created';
COMMENT ON COLUMN pgscore.jobs.created_by IS 'Who created it: the role that logged in';

CREATE TABLE IF NOT EXISTS pgscore.runs (
    run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        integer NOT NULL CONSTRAINT runs_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    state         text NOT NULL CONSTRAINT runs_state_is_known CHECK (state IN ('done', 'failed')),
    version       integer,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    rows_scored   bigint,
    rows_inserted bigint,
    rows_updated  bigint,
    rows_deleted  bigint,
    rows_refused  bigint,
    error         text,
    by            text NOT NULL DEFAULT session_user,
    CONSTRAINT runs_failed_says_why CHECK ((state = 'failed') = (error IS NOT NULL)),
    CONSTRAINT runs_done_says_what CHECK (
        state = 'failed'
        OR num_nulls(version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused) = 0)
);
CREATE INDEX IF NOT EXISTS runs_of_job ON pgscore.runs (job_id, run_id);
COMMENT ON TABLE pgscore.runs IS 'What the refresh jobs did';
COMMENT ON COLUMN pgscore.runs.run_id IS 'Key';
COMMENT ON COLUMN pgscore.runs.job_id IS 'The job';
COMMENT ON COLUMN pgscore.runs.state IS 'done, or failed: the target is then as the run before left it';
COMMENT ON COLUMN pgscore.runs.version IS 'The version that scored';
COMMENT ON COLUMN pgscore.runs.started_at IS 'When it began';
COMMENT ON COLUMN pgscore.runs.finished_at IS 'When it ended';
COMMENT ON COLUMN pgscore.runs.rows_scored IS 'Rows of the source';
COMMENT ON COLUMN pgscore.runs.rows_inserted IS 'Keys that were new';
COMMENT ON COLUMN pgscore.runs.rows_updated IS 'Rows whose score or version changed';
COMMENT ON COLUMN pgscore.runs.rows_deleted IS 'Keys that the source has no more';
COMMENT ON COLUMN pgscore.runs.rows_refused IS 'Rows that the model takes not: their score is NULL';
COMMENT ON COLUMN pgscore.runs.error IS 'Why it failed';
COMMENT ON COLUMN pgscore.runs.by IS 'Who ran it: the role that logged in';

CREATE OR REPLACE FUNCTION pgscore.keep_models_of_jobs()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    names text;
BEGIN
    SELECT string_agg(j.name, ', ' ORDER BY j.name) INTO names FROM pgscore.jobs AS j WHERE j.model_id = OLD.model_id;
    IF names IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('model %s is used by refresh job %s', OLD.name, names),
            HINT = 'drop the job first: SELECT pgscore.drop_refresh(…)';
    END IF;
    RETURN OLD;
END
$function$;
COMMENT ON FUNCTION pgscore.keep_models_of_jobs() IS 'Trigger: a model that a refresh job uses is not dropped';

CREATE OR REPLACE TRIGGER models_of_jobs_stay
    BEFORE DELETE ON pgscore.models
    FOR EACH ROW EXECUTE FUNCTION pgscore.keep_models_of_jobs();

CREATE OR REPLACE FUNCTION pgscore.version_to_run(model text, alias text)
RETURNS TABLE (
    model_id integer, version integer, name text, strategy text, parameters jsonb, main jsonb, features text[], graph text
)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN QUERY
    SELECT
        m.model_id, v.version, format('%s_v%s', m.name, v.version), v.strategy, v.parameters, v.functions -> 0,
        v.features, v.onnx_sha256
    FROM pgscore.models AS m
    JOIN pgscore.aliases AS a ON a.model_id = m.model_id AND a.alias = version_to_run.alias
    JOIN pgscore.versions AS v ON v.version_id = a.version_id
    WHERE m.name = version_to_run.model;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %s with an alias %s', model, alias),
            HINT = 'see pgscore.model_overview';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.version_to_run(text, text) IS
    'The version that an alias means, and how to score with it. Part of refresh; it gives away no more than schema score does';

CREATE OR REPLACE FUNCTION pgscore.job_of(job text)
RETURNS TABLE (job_id integer, model text, alias text, source text, key_columns text[], target text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    found_job record;
BEGIN
    SELECT j.*, m.name AS model INTO found_job
    FROM pgscore.jobs AS j
    JOIN pgscore.models AS m USING (model_id)
    WHERE j.name = job_of.job;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no refresh job %L', job),
            HINT = 'see pgscore.freshness',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    IF NOT coalesce(pg_has_role(session_user, to_regrole(quote_ident(found_job.owner)), 'MEMBER'), false)
       AND NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS005',
            MESSAGE = format('role %s may not use refresh job %s, which belongs to %s', session_user, job, found_job.owner),
            HINT = format('GRANT %I TO %I', found_job.owner, session_user),
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    RETURN QUERY SELECT
        found_job.job_id, found_job.model, found_job.alias, found_job.source, found_job.key_columns, found_job.target;
END
$function$;
COMMENT ON FUNCTION pgscore.job_of(text) IS
    'The refresh job, for members of the role that created it (and of pgscore''s owner). Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.add_job(
    job text, model_id integer, alias text, source text, key_columns text[], target text, mode text, owner text
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    other text;
BEGIN
    IF NOT pg_has_role(session_user, to_regrole(quote_ident(owner)), 'MEMBER') THEN
        RAISE EXCEPTION USING ERRCODE = 'PS005', MESSAGE = format('role %s is no member of %s', session_user, owner);
    END IF;
    IF job IS NULL OR job !~ '^[a-z][a-z0-9_]*$' OR octet_length(job) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a refresh job', job),
            HINT = 'use lower-case letters, digits and _, and begin with a letter';
    END IF;
    IF mode IS DISTINCT FROM 'full' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003', MESSAGE = format('there is no refresh mode %L', mode), HINT = 'the mode is full';
    END IF;
    SELECT j.name INTO other FROM pgscore.jobs AS j WHERE j.name = add_job.job OR j.target = add_job.target LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = CASE WHEN other = job THEN format('refresh job %s exists already', job)
                           ELSE format('%s is the target of refresh job %s already', target, other) END,
            HINT = format('SELECT pgscore.drop_refresh(%L) drops it; its table stays', other);
    END IF;
    INSERT INTO pgscore.jobs (name, model_id, alias, source, key_columns, target, mode, owner)
    VALUES (job, add_job.model_id, add_job.alias, add_job.source, add_job.key_columns, add_job.target, add_job.mode, add_job.owner);
END
$function$;
COMMENT ON FUNCTION pgscore.add_job(text, integer, text, text, text[], text, text, text) IS
    'Writes down a refresh job that create_refresh has checked. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_run(
    job text, started_at timestamptz, version integer, rows_scored bigint, rows_inserted bigint, rows_updated bigint,
    rows_deleted bigint, rows_refused bigint, error text DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.runs (job_id, state, version, started_at, rows_scored, rows_inserted, rows_updated, rows_deleted,
                              rows_refused, error)
    SELECT j.job_id, CASE WHEN record_run.error IS NULL THEN 'done' ELSE 'failed' END, record_run.version,
           record_run.started_at, record_run.rows_scored, record_run.rows_inserted, record_run.rows_updated,
           record_run.rows_deleted, record_run.rows_refused, record_run.error
    FROM pgscore.job_of(record_run.job) AS j
    RETURNING run_id
$function$;
COMMENT ON FUNCTION pgscore.record_run(
    text, timestamptz, integer, bigint, bigint, bigint, bigint, bigint, text) IS
    'Writes down a run of a refresh job; with an error, a failed one. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.drop_refresh(job text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    DELETE FROM pgscore.jobs AS j USING pgscore.job_of(drop_refresh.job) AS mine WHERE j.job_id = mine.job_id
$function$;
COMMENT ON FUNCTION pgscore.drop_refresh(text) IS 'Drops a refresh job and the record of its runs; its target table stays';

-- 31_refresh.sql
-- Refresh: jobs that keep a prediction table in step with its source. They work from psql alone:
--
--   SELECT pgscore.create_refresh('churn_daily', 'churn', 'customers', '{customer_id}', 'public.churn_scores');
--   CALL pgscore.refresh('churn_daily');
--   SELECT * FROM pgscore.freshness;
--
-- A run is one transaction. It scores the source from one snapshot into a temporary table, then writes the difference:
-- readers see the old predictions until all new ones are there, wait for nothing, and what depends on the target stays.
-- A run that fails leaves the target as it was.
--
-- Rights. Reading the source and writing the target is done as the caller (SECURITY INVOKER). The catalog is behind small
-- functions that run as the owner; they let a job be changed or recorded by members of the role that created it.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.score_expression(source regclass, called record)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- The table whose rows the version's function takes, whatever it is called by now.
    bound CONSTANT regclass := (
        SELECT t.typrelid
        FROM pg_proc AS p
        JOIN pg_type AS t ON t.oid = p.proargtypes[0]
        WHERE p.oid = ANY (pgscore.functions_named(ARRAY[called.name])) AND p.pronargs = 1 AND t.typtype = 'c');
    missing text;
    arguments text;
BEGIN
    SELECT p."column" INTO missing
    FROM jsonb_to_recordset(called.parameters) AS p ("column" text)
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = p."column" AND a.attnum > 0 AND NOT a.attisdropped)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no column %I, which %s reads', source, missing, called.name),
            HINT = 'a view can give the columns the names that they have in the table of the model';
    END IF;
    IF source = bound THEN
        -- A mere r would be the column, in a source that has one of that name.
        RETURN format('score.%I(r.*)', called.name);
    END IF;
    IF jsonb_array_length(called.parameters) <= 100 THEN
        SELECT string_agg(format('%I => (r.%I)::%s', p.name, p."column", p.type), ', ') INTO arguments
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text);
        RETURN format('score.%I(%s)', called.name, arguments);
    END IF;
    -- PostgreSQL takes 100 arguments at most: the row of the table is put together.
    SELECT string_agg(
        CASE
            WHEN p."column" IS NULL THEN 'NULL'
            ELSE format('(r.%I)::%s', a.attname, format_type(a.atttypid, a.atttypmod))
        END,
        ', ' ORDER BY a.attnum)
    INTO arguments
    FROM pg_attribute AS a
    LEFT JOIN jsonb_to_recordset(called.parameters) AS p ("column" text) ON p."column" = a.attname
    WHERE a.attrelid = bound AND a.attnum > 0 AND NOT a.attisdropped;
    RETURN format('score.%I(ROW(%s)::%s)', called.name, arguments, bound);
END
$function$;
COMMENT ON FUNCTION pgscore.score_expression(regclass, record) IS
    'SQL that scores the row r of a relation with a version (from version_to_run). Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.scoring_query(source regclass, key_columns text[], called record)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    scored CONSTANT text := pgscore.score_expression(source, called);
    keys CONSTANT text := (
        SELECT string_agg(format('r.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n)
        FROM unnest(key_columns) WITH ORDINALITY AS k (name, n));
BEGIN
    IF pgscore.scores_in_batches(called.strategy, called.main) THEN
        -- NULL would travel as no value at all; NaN is missing as well, and of the same size as every number.
        RETURN format(
            'SELECT %s, ARRAY[%s]::float8[] AS features FROM %s AS r',
            keys,
            (SELECT string_agg(format('coalesce(%s, ''NaN'')', f.feature), ', ' ORDER BY f.n)
             FROM unnest(called.features) WITH ORDINALITY AS f (feature, n)),
            source);
    END IF;
    RETURN format('SELECT %s, %s AS score FROM %s AS r', keys, scored, source);
END
$function$;
COMMENT ON FUNCTION pgscore.scoring_query(regclass, text[], record) IS
    'The query over the source of a job: keys k1, k2, … and score; or features, where scores are made in batches. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.scores_in_batches(strategy text, main jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT strategy = 'onnx' AND jsonb_array_length(main -> 'outputs') = 1 AND right(main ->> 'result', 2) <> '[]'
$function$;
COMMENT ON FUNCTION pgscore.scores_in_batches(text, jsonb) IS
    'Whether refresh scores through pgscore.onnx_batch: one call for 10,000 rows, where onnx_row takes one for each. It '
    'gives one output, so functions that give arrays are called row by row. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.check_target(target regclass, source regclass, key_columns text[], result text)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wrong record;
BEGIN
    SELECT w.name, w.type, format_type(t.atttypid, t.atttypmod) AS is_now INTO wrong
    FROM (
        SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = ANY (key_columns)
        UNION ALL
        VALUES ('score', result), ('model_version', 'integer'), ('scored_at', 'timestamp with time zone')
    ) AS w (name, type)
    LEFT JOIN pg_attribute AS t
        ON t.attrelid = target AND t.attname = w.name AND t.attnum > 0 AND NOT t.attisdropped
    WHERE format_type(t.atttypid, t.atttypmod) IS DISTINCT FROM w.type
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = CASE
                WHEN wrong.is_now IS NULL THEN format('%s has no column %I, of type %s', target, wrong.name, wrong.type)
                ELSE format('column %I of %s is %s; it must be %s', wrong.name, target, wrong.is_now, wrong.type)
            END,
            HINT = 'create_refresh makes a fitting table where none of the name exists';
    END IF;
    PERFORM FROM pg_index AS i
    WHERE i.indrelid = target AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
      AND (SELECT array_agg(a.attname::text ORDER BY a.attname)
           FROM pg_attribute AS a
           WHERE a.attrelid = target AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
          = (SELECT array_agg(k ORDER BY k) FROM unnest(key_columns) AS k);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no primary key or unique index on %s', target, array_to_string(key_columns, ', '));
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_target(regclass, regclass, text[], text) IS
    'Raises unless the table can hold the predictions of a job: its keys, score, model_version, scored_at. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.create_refresh(
    job text, model text, source regclass, keys text[], target text, alias text DEFAULT 'live', mode text DEFAULT 'full'
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    called record;
    place text[];
    target_name text;
    wrong text;
    columns text;
BEGIN
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(model, alias) AS v;
    IF (SELECT c.relkind NOT IN ('r', 'p', 'v', 'm', 'f') FROM pg_class AS c WHERE c.oid = source) THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('%s is no table and no view', source);
    END IF;
    IF coalesce(cardinality(keys), 0) = 0 OR array_position(keys, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('refresh job %s needs its key columns', job);
    END IF;
    SELECT k INTO wrong FROM unnest(keys) AS k WHERE k IN ('score', 'model_version', 'scored_at') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('a key cannot be called %I, as a column of the target is', wrong),
            HINT = 'a view over the source can give it another name';
    END IF;
    SELECT k INTO wrong
    FROM unnest(keys) AS k
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = source AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('%s has no column %I to be the key', source, wrong);
    END IF;
    BEGIN
        place := parse_ident(target);
    EXCEPTION WHEN invalid_parameter_value THEN
        place := NULL;
    END;
    IF coalesce(cardinality(place), 0) <> 2 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a target', target),
            HINT = 'write schema.table, such as public.churn_scores';
    END IF;
    target_name := format('%I.%I', place[1], place[2]);

    -- Planning the query finds what else would stop a run: rights, and columns of types that do not fit.
    EXECUTE 'EXPLAIN ' || pgscore.scoring_query(source, keys, called);

    IF to_regclass(target_name) IS NULL THEN
        IF to_regnamespace(quote_ident(place[1])) IS NULL THEN
            EXECUTE format('CREATE SCHEMA %I', place[1]);
        END IF;
        SELECT string_agg(format('%I %s NOT NULL', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY k.n)
        INTO columns
        FROM unnest(keys) WITH ORDINALITY AS k (name, n)
        JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = k.name;
        EXECUTE format(
            'CREATE TABLE %s (%s, score %s, model_version integer NOT NULL, scored_at timestamptz NOT NULL, PRIMARY KEY (%s))',
            target_name, columns, called.main ->> 'result',
            (SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u (k, n)));
        EXECUTE format('COMMENT ON TABLE %s IS %L', target_name, format('Predictions of model %s, by refresh job %s', model, job));
    END IF;
    PERFORM pgscore.check_target(target_name, source, keys, called.main ->> 'result');
    PERFORM pgscore.add_job(
        job, called.model_id, alias,
        (SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = source),
        keys, target_name, mode, current_user::text);
END
$function$;
COMMENT ON FUNCTION pgscore.create_refresh(text, text, regclass, text[], text, text, text) IS
    'Creates a refresh job: the version of model that alias means scores every row of source into target (schema.table), by '
    'the key columns. The target is created where it does not exist: the keys, score, model_version, scored_at';

CREATE OR REPLACE PROCEDURE pgscore.refresh(
    job text,
    INOUT run_id bigint DEFAULT NULL,
    INOUT version integer DEFAULT NULL,
    INOUT rows_scored bigint DEFAULT NULL,
    INOUT rows_inserted bigint DEFAULT NULL,
    INOUT rows_updated bigint DEFAULT NULL,
    INOUT rows_deleted bigint DEFAULT NULL,
    INOUT rows_refused bigint DEFAULT NULL
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $procedure$
DECLARE
    batch_rows CONSTANT integer := 10000;
    started CONSTANT timestamptz := clock_timestamp();
    it record;
    called record;
    result text;
    source regclass;
    target regclass;
    same_key text;
    keys text;
    new_keys text;
    is_empty boolean;
    pages bigint;
    step bigint;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    IF NOT pg_try_advisory_xact_lock(hashtext('pgscore.refresh'), it.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s is running already', job),
            HINT = 'wait for it to end',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    -- The version is looked up once, and its own functions are called: a promote meanwhile changes nothing in this run.
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    version := called.version;
    result := called.main ->> 'result';
    source := to_regclass(it.source);
    target := to_regclass(it.target);
    IF source IS NULL OR target IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('the %s of refresh job %s is gone: %s',
                             CASE WHEN source IS NULL THEN 'source' ELSE 'target' END, job,
                             CASE WHEN source IS NULL THEN it.source ELSE it.target END),
            HINT = 'drop the job and create it anew';
    END IF;
    PERFORM pgscore.check_target(target, source, it.key_columns, result);
    SELECT
        string_agg(format('t.%I = s.k%s', k.name, k.n), ' AND ' ORDER BY k.n),
        string_agg(quote_ident(k.name), ', ' ORDER BY k.n),
        string_agg('s.k' || k.n, ', ' ORDER BY k.n)
    INTO same_key, keys, new_keys
    FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n);

    -- One statement reads the source, so one snapshot does.
    DROP TABLE IF EXISTS pg_temp.pgscore_scored, pg_temp.pgscore_staged;
    IF pgscore.scores_in_batches(called.strategy, called.main) THEN
        EXECUTE 'CREATE TEMPORARY TABLE pgscore_staged ON COMMIT DROP AS '
            || pgscore.scoring_query(source, it.key_columns, called);
        GET DIAGNOSTICS rows_scored = ROW_COUNT;
        pages := pg_relation_size('pg_temp.pgscore_staged') / current_setting('block_size')::bigint;
        step := greatest(1, batch_rows * pages / greatest(rows_scored, 1));
        EXECUTE format(
            'CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS SELECT %s, NULL::%s AS score FROM pg_temp.pgscore_staged AS s LIMIT 0',
            new_keys, result);
        FOR page IN 0..pages - 1 BY step LOOP
            EXECUTE format(
                $batch$
                WITH batch AS MATERIALIZED (
                    SELECT s.*, row_number() OVER () AS place
                    FROM pg_temp.pgscore_staged AS s
                    WHERE s.ctid >= %L::tid AND s.ctid < %L::tid
                ), sent AS MATERIALIZED (
                    SELECT array_send(array_agg(b.features ORDER BY b.place)) AS features FROM batch AS b HAVING count(*) > 0
                )
                INSERT INTO pg_temp.pgscore_scored
                SELECT %s, %s
                FROM sent
                CROSS JOIN LATERAL unnest(pgscore.onnx_batch($1, sent.features, $2)) WITH ORDINALITY AS o (answer, place)
                JOIN batch AS s USING (place)
                $batch$,
                format('(%s,0)', page), format('(%s,0)', page + step), new_keys,
                -- Of a class, the model gives the number; the labels are in the catalog.
                CASE WHEN called.main -> 'labels' = 'null' OR called.main -> 'labels' IS NULL THEN format('o.answer::%s', result)
                     ELSE format('(%L::jsonb ->> o.answer::integer)::%s', called.main -> 'labels', result) END)
            USING called.graph, (called.main -> 'outputs' ->> 0)::integer;
        END LOOP;
        DROP TABLE pg_temp.pgscore_staged;
    ELSE
        EXECUTE 'CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS '
            || pgscore.scoring_query(source, it.key_columns, called);
    END IF;
    SELECT count(*), count(*) FILTER (WHERE s.score IS NULL) INTO rows_scored, rows_refused FROM pg_temp.pgscore_scored AS s;
    BEGIN
        EXECUTE format('ALTER TABLE pg_temp.pgscore_scored ADD PRIMARY KEY (%s)', replace(new_keys, 's.', ''));
    EXCEPTION WHEN unique_violation OR not_null_violation THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('the key (%s) of %s %s', keys, source,
                             CASE SQLSTATE WHEN '23505' THEN 'is not unique' ELSE 'is NULL in some rows' END),
            HINT = format('refresh job %s needs columns that identify a row', job);
    END;

    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', target) INTO is_empty;
    rows_deleted := 0;
    rows_updated := 0;
    IF NOT is_empty THEN
        EXECUTE format(
            'DELETE FROM %s AS t WHERE NOT EXISTS (SELECT FROM pg_temp.pgscore_scored AS s WHERE %s)', target, same_key);
        GET DIAGNOSTICS rows_deleted = ROW_COUNT;
        EXECUTE format(
            'UPDATE %s AS t SET score = s.score, model_version = $1, scored_at = now() FROM pg_temp.pgscore_scored AS s '
            'WHERE %s AND (t.score IS DISTINCT FROM s.score OR t.model_version IS DISTINCT FROM $1)',
            target, same_key)
        USING version;
        GET DIAGNOSTICS rows_updated = ROW_COUNT;
    END IF;
    EXECUTE format(
        'INSERT INTO %s (%s, score, model_version, scored_at) SELECT %s, s.score, $1, now() FROM pg_temp.pgscore_scored AS s %s',
        target, keys, new_keys,
        CASE WHEN NOT is_empty THEN format('WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)', target, same_key) END)
    USING version;
    GET DIAGNOSTICS rows_inserted = ROW_COUNT;
    DROP TABLE pg_temp.pgscore_scored;
    run_id := pgscore.record_run(
        job, started, version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused);
END
$procedure$;
COMMENT ON PROCEDURE pgscore.refresh(text, bigint, integer, bigint, bigint, bigint, bigint, bigint) IS
    'Runs a refresh job: CALL pgscore.refresh(''churn_daily''). Scores every row of its source and writes what changed to '
    'its target; gives what it did, as in pgscore.runs. A row that the model refuses keeps its key, with score NULL';

CREATE OR REPLACE VIEW pgscore.freshness WITH (security_barrier) AS
SELECT
    j.name AS job,
    CASE
        WHEN latest.state IS NULL THEN 'never run'
        WHEN latest.state = 'failed' THEN 'failed'
        WHEN good.version IS DISTINCT FROM v.version THEN 'behind'
        ELSE 'fresh'
    END AS state,
    m.name AS model,
    j.alias,
    good.version,
    v.version AS current_version,
    good.started_at AS refreshed_at,
    clock_timestamp() - good.started_at AS age,
    good.rows_scored AS rows,
    good.rows_refused AS refused,
    j.source,
    j.key_columns AS keys,
    j.target,
    j.mode,
    latest.error
FROM pgscore.jobs AS j
JOIN pgscore.models AS m USING (model_id)
LEFT JOIN pgscore.aliases AS a ON a.model_id = j.model_id AND a.alias = j.alias
LEFT JOIN pgscore.versions AS v ON v.version_id = a.version_id
LEFT JOIN LATERAL (
    SELECT r.state, r.error FROM pgscore.runs AS r WHERE r.job_id = j.job_id ORDER BY r.run_id DESC LIMIT 1
) AS latest ON true
LEFT JOIN LATERAL (
    SELECT r.version, r.started_at, r.rows_scored, r.rows_refused
    FROM pgscore.runs AS r
    WHERE r.job_id = j.job_id AND r.state = 'done'
    ORDER BY r.run_id DESC
    LIMIT 1
) AS good ON true;
COMMENT ON VIEW pgscore.freshness IS
    'The refresh jobs: the last good run, its age, and state: fresh; behind (the alias has moved to another version since); '
    'failed (the last run); never run';

-- 40_views.sql
-- What `pgscore list`, `show` and `history` print, for everybody who may manage models.

CREATE OR REPLACE VIEW pgscore.version_overview AS
SELECT
    m.name AS model,
    v.version,
    ARRAY(
        SELECT a.alias FROM pgscore.aliases AS a WHERE a.version_id = v.version_id ORDER BY a.alias
    ) AS aliases,
    v.estimator,
    v.kind,
    v.strategy,
    v.reason,
    v.bound_table,
    v.parameters,
    v.functions,
    v.onnx_sha256,
    v.sql,
    v.sha256,
    v.model_sha256,
    v.libraries,
    v.parity,
    v.created_at,
    v.created_by
FROM pgscore.versions AS v
JOIN pgscore.models AS m USING (model_id);
COMMENT ON VIEW pgscore.version_overview IS 'All versions of all models, with the aliases that point to them';

CREATE OR REPLACE VIEW pgscore.model_overview AS
SELECT
    m.name AS model,
    live.version AS live,
    m.last_version AS newest,
    (SELECT count(*) FROM pgscore.versions AS v WHERE v.model_id = m.model_id) AS versions,
    (SELECT jsonb_object_agg(a.alias, v.version)
     FROM pgscore.aliases AS a
     JOIN pgscore.versions AS v USING (version_id)
     WHERE a.model_id = m.model_id) AS aliases,
    live.estimator,
    live.kind,
    live.strategy,
    live.bound_table,
    m.created_at,
    m.created_by
FROM pgscore.models AS m
LEFT JOIN pgscore.aliases AS l ON l.model_id = m.model_id AND l.alias = 'live'
LEFT JOIN pgscore.versions AS live ON live.version_id = l.version_id;
COMMENT ON VIEW pgscore.model_overview IS 'The models, and what is live of each';

CREATE OR REPLACE VIEW pgscore.history_overview AS
SELECT h.history_id, h.model, h.alias, h.action, h.from_version, h.to_version, h.at, h.by, h.note
FROM pgscore.history AS h;
COMMENT ON VIEW pgscore.history_overview IS 'What happened to the models, oldest history_id first';

-- The version that is installed.
INSERT INTO pgscore.installation AS i (schema_version, pgscore_version)
VALUES (1, '0.1.0')
ON CONFLICT (only_row) DO UPDATE SET
    schema_version = EXCLUDED.schema_version, pgscore_version = EXCLUDED.pgscore_version,
    updated_at = now(), updated_by = session_user
WHERE (i.schema_version, i.pgscore_version) <> (EXCLUDED.schema_version, EXCLUDED.pgscore_version);

-- 90_grants.sql
-- All grants. Nothing goes to PUBLIC; a role that does not exist here gets nothing.
--
-- pgscore_scorer    calls the models: score.*, pgscore.score, and the ONNX functions that score.* call (granted where
--                   they are created); has refresh jobs of its own, which read and write with its own rights
-- pgscore_promoter  promotes, rolls back, and reads the overviews
-- pgscore_owner     owns it all; its members deploy and drop

REVOKE ALL ON SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA pgscore, score FROM PUBLIC;

DO $grants$
BEGIN
    IF to_regrole('pgscore_scorer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA score, pgscore TO pgscore_scorer;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.score(text, jsonb),
            pgscore.resolve(text)
        TO pgscore_scorer;
        GRANT EXECUTE ON PROCEDURE pgscore.refresh TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.create_refresh,
            pgscore.drop_refresh,
            -- The parts of refresh, which runs as its caller.
            pgscore.version_to_run,
            pgscore.job_of,
            pgscore.add_job,
            pgscore.record_run,
            pgscore.score_expression,
            pgscore.scoring_query,
            pgscore.scores_in_batches,
            pgscore.check_target,
            pgscore.functions_named
        TO pgscore_scorer;
        GRANT SELECT ON pgscore.freshness TO pgscore_scorer;
    END IF;
    IF to_regrole('pgscore_promoter') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA pgscore TO pgscore_promoter;
        GRANT EXECUTE ON FUNCTION
            pgscore.promote(text, integer, text),
            pgscore.rollback(text, text)
        TO pgscore_promoter;
        GRANT SELECT ON
            pgscore.model_overview,
            pgscore.version_overview,
            pgscore.history_overview,
            pgscore.freshness
        TO pgscore_promoter;
    END IF;
END
$grants$;

SET LOCAL ROLE NONE;

COMMIT;
