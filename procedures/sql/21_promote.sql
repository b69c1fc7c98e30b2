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

CREATE OR REPLACE FUNCTION pgscore.move_alias(model_id integer, alias text, to_version integer, action text, why text)
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

    SELECT m.name AS model, v.version_id, v.functions, v.sha256, v.parity INTO STRICT target
    FROM pgscore.versions AS v
    JOIN pgscore.models AS m USING (model_id)
    WHERE v.model_id = move_alias.model_id AND v.version = move_alias.to_version;

    IF alias = 'live' THEN
        PERFORM pgscore.replace_moving_functions(target.model, to_version, is_now.functions, target.functions);
    END IF;

    INSERT INTO pgscore.aliases AS a (model_id, alias, version_id)
    VALUES (move_alias.model_id, move_alias.alias, target.version_id)
    ON CONFLICT ON CONSTRAINT aliases_pkey DO UPDATE SET version_id = EXCLUDED.version_id;

    INSERT INTO pgscore.history (model_id, model, alias, action, from_version, to_version, note, sha256, parity)
    VALUES (
        move_alias.model_id, target.model, move_alias.alias, move_alias.action, is_now.version, move_alias.to_version, why,
        target.sha256, target.parity);
    RETURN is_now.version;
END
$function$;
COMMENT ON FUNCTION pgscore.move_alias(integer, text, integer, text, text) IS
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

CREATE OR REPLACE FUNCTION pgscore.promote(model text, version integer, alias text DEFAULT 'live', why text DEFAULT NULL)
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
    RETURN pgscore.move_alias(held, alias, version, 'promote', why);
END
$function$;
COMMENT ON FUNCTION pgscore.promote(text, integer, text, text) IS
    'Points the alias to the version; for the alias live, score.MODEL calls that version from the commit on. Gives the '
    'version before (NULL: none). Where the alias points there already, nothing happens. Refused while something '
    'stores results of score.MODEL, or depends on it and the signature changes';

CREATE OR REPLACE FUNCTION pgscore.rollback(model text, alias text DEFAULT 'live', why text DEFAULT NULL)
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
    -- The stack of versions: a promote pushes one; a rollback pops back to the version that it went to; a dropped alias
    -- begins anew.
    FOR event IN
        SELECT h.action, h.to_version
        FROM pgscore.history AS h
        WHERE h.model_id = held AND h.alias = rollback.alias
        ORDER BY h.history_id
    LOOP
        IF event.action = 'promote' THEN
            past := past || event.to_version;
        ELSIF event.action = 'unalias' THEN
            past := '{}';
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
    PERFORM pgscore.move_alias(held, alias, previous, 'rollback', why);
    RETURN previous;
END
$function$;
COMMENT ON FUNCTION pgscore.rollback(text, text, text) IS
    'Points the alias to the version that it had before the present one was promoted, and gives its number. The '
    'promotes of an alias form a stack, and a rollback takes the top off: after promotes of 1, 2, 3, one rollback goes '
    'to 2, the next to 1, and a third is refused. A promote puts its version on what is left: after 1, 2, 3, rollback, '
    'promote 4, a rollback goes to 2. Dropped versions are passed over';

CREATE OR REPLACE FUNCTION pgscore.refuse_stray_alias()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it CONSTANT pgscore.aliases := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    points record;
    recorded integer;
    stray text;
BEGIN
    SELECT m.name INTO points FROM pgscore.models AS m WHERE m.model_id = it.model_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT m.name AS model, v.version, v.functions INTO points
    FROM pgscore.models AS m
    LEFT JOIN pgscore.aliases AS a ON a.model_id = m.model_id AND a.alias = it.alias
    LEFT JOIN pgscore.versions AS v ON v.version_id = a.version_id
    WHERE m.model_id = it.model_id;
    SELECT h.to_version INTO recorded
    FROM pgscore.history AS h
    WHERE h.model_id = it.model_id AND h.alias = it.alias
    ORDER BY h.history_id DESC
    LIMIT 1;
    IF it.alias = 'live' THEN
        SELECT n.name INTO stray
        FROM unnest(
            pgscore.function_names(points.model, points.functions),
            pgscore.function_names(format('%s_v%s', points.model, points.version), points.functions)
        ) AS n (name, calls)
        WHERE NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = ANY (pgscore.functions_named(ARRAY[n.name]))
              AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY (pgscore.functions_named(ARRAY[n.calls])))
        LIMIT 1;
    END IF;
    IF points.version IS DISTINCT FROM recorded OR stray IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('alias %s of model %s is not moved by hand', it.alias, points.model),
            HINT = 'SELECT pgscore.promote(…), pgscore.rollback(…) or pgscore.drop_alias(…)';
    END IF;
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_stray_alias() IS
    'Trigger, at the end of a transaction: an alias points where the history says, and score.MODEL calls the live version';

DO $trigger$
BEGIN
    -- There is no CREATE OR REPLACE of a constraint trigger.
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'pgscore.aliases'::regclass AND t.tgname = 'aliases_follow_history') THEN
        CREATE CONSTRAINT TRIGGER aliases_follow_history
            AFTER INSERT OR UPDATE OR DELETE ON pgscore.aliases
            DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_stray_alias();
    END IF;
END
$trigger$;
CREATE OR REPLACE TRIGGER aliases_are_not_truncated
    BEFORE TRUNCATE ON pgscore.aliases
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();
