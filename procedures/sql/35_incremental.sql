-- Runs of incremental refresh jobs: which keys a run scores, and the triggers that tell.
--
--   SELECT pgscore.create_refresh('churn_now', 'churn', 'customers', '{customer_id}', 'public.churn_scores', mode => 'incremental');
--   CALL pgscore.run_job('churn_now');
--
-- A run is one step, in one transaction: it takes what is queued, adds rows of an old version (a promote leaves the whole
-- target to be scored anew, pgscore.backfill_rows of it in each step), reads those rows of the source and writes them. It
-- takes the queue before it reads the source. So a key that it takes is scored from a snapshot in which the writer that
-- queued it has committed; a writer that commits between the two has its rows scored early, and again by the next run.
--
-- All of it runs as the caller of refresh.

CREATE OR REPLACE FUNCTION pgscore.columns_read(parameters jsonb)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(array_agg(p."column"), '{}')
    FROM jsonb_to_recordset(parameters) AS p ("column" text)
$function$;
COMMENT ON FUNCTION pgscore.columns_read(jsonb) IS 'The columns that a version with these parameters reads. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.columns_of_run(called record, challenger record, carried text[])
RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    columns text[] := pgscore.columns_read(called.parameters) || carried || (called.main -> 'factors' ->> 'rating');
BEGIN
    IF challenger IS NOT NULL THEN
        columns := columns || pgscore.columns_read(challenger.parameters);
    END IF;
    RETURN array_remove(columns, NULL);
END
$function$;
COMMENT ON FUNCTION pgscore.columns_of_run(record, record, text[]) IS
    'The columns of the source, beside the key, that a run reads: of its versions, and carried along. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.triggers_of(
    job text, reads text[], OUT relations regclass[], OUT is_new boolean, OUT state text
)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    queue record;
    triggers bigint;
    active bigint;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    WITH RECURSIVE tree (oid) AS (
        SELECT to_regclass(it.source)::oid
        UNION
        SELECT i.inhrelid FROM pg_inherits AS i JOIN tree AS t ON t.oid = i.inhparent
    )
    SELECT array_agg(t.oid::regclass ORDER BY t.oid) INTO relations FROM tree AS t;
    SELECT q.* INTO STRICT queue FROM pgscore.queue_of(job) AS q;
    is_new := queue.key_types IS NULL;
    IF queue.changes <> 'triggers' THEN
        relations := '{}';
    END IF;
    SELECT count(*), count(*) FILTER (WHERE t.tgenabled IN ('O', 'A')) INTO triggers, active
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = ANY (relations) AND starts_with(t.tgname, format('pgscore_queue_%s_', it.job_id))
      AND p.pronamespace = 'pgscore'::regnamespace AND p.proname = format('queue_changes_%s', it.job_id);
    state := CASE
        WHEN is_new OR triggers <> 4 * cardinality(relations)
             OR NOT (queue.watched @> relations AND queue.watched <@ relations AND queue.watched_columns @> reads)
            THEN 'lacking'
        WHEN active < triggers THEN 'disabled'
        ELSE 'watched'
    END;
END
$function$;
COMMENT ON FUNCTION pgscore.triggers_of(text, text[]) IS
    'The relations of the source of an incremental job, and the state of their triggers: watched; disabled, some; lacking, for a '
    'relation or one of the columns read; and whether there were none yet. A job that finds changes by hash or watermark watches '
    'no relations. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.watch_source(job text, reads text[])
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A trigger waits for those who are writing, and who would write waits for it.
SET lock_timeout = '10s'
AS $function$
DECLARE
    it record;
    found_triggers record;
    relation regclass;
    wrong text;
    event text;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT t.* INTO STRICT found_triggers FROM pgscore.triggers_of(job, reads) AS t;
    IF found_triggers.state = 'disabled' THEN
        RAISE WARNING USING
            MESSAGE = format('triggers of refresh job %s on %s are disabled: each run scores every row', job, it.source),
            HINT = 'ALTER TABLE … ENABLE TRIGGER';
        RETURN 'blind';
    ELSIF found_triggers.state = 'watched' THEN
        RETURN 'watched';
    ELSIF found_triggers.relations = '{}' THEN
        PERFORM pgscore.make_queue(job, to_regclass(it.source), '{}');
        RETURN 'watched';
    END IF;

    SELECT format('%s is no table', c.oid::regclass) INTO wrong
    FROM pg_class AS c
    WHERE c.oid = ANY (found_triggers.relations) AND c.relkind NOT IN ('r', 'p')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s cannot see what changes: %s', job, wrong),
            HINT = 'only tables carry triggers; changes => hash (--changes hash), or mode full, take views and foreign tables too';
    END IF;
    SELECT r INTO relation FROM unnest(found_triggers.relations) AS r WHERE NOT has_table_privilege(r, 'TRIGGER') LIMIT 1;
    IF FOUND THEN
        IF found_triggers.is_new THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS005',
                MESSAGE = format('role %s may not create triggers on %s, which mode incremental needs', current_user, relation),
                HINT = format('GRANT TRIGGER ON %s TO %I, or mode full', relation, current_user);
        END IF;
        RAISE WARNING USING
            MESSAGE = format('refresh job %s lacks triggers on %s: each run scores every row', job, relation),
            HINT = format('GRANT TRIGGER ON %s TO %I', relation, current_user);
        RETURN 'blind';
    END IF;
    PERFORM pgscore.make_queue(job, to_regclass(it.source), found_triggers.relations);
    FOREACH relation IN ARRAY found_triggers.relations LOOP
        FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
            EXECUTE format(
                'CREATE OR REPLACE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION pgscore.%I()',
                format('pgscore_queue_%s_%s', it.job_id, event), event, relation,
                CASE event
                    WHEN 'insert' THEN 'REFERENCING NEW TABLE AS pgscore_new'
                    WHEN 'update' THEN 'REFERENCING OLD TABLE AS pgscore_old NEW TABLE AS pgscore_new'
                    WHEN 'delete' THEN 'REFERENCING OLD TABLE AS pgscore_old'
                    ELSE ''
                END,
                format('queue_changes_%s', it.job_id));
        END LOOP;
    END LOOP;
    RETURN 'set up';
END
$function$;
COMMENT ON FUNCTION pgscore.watch_source(text, text[]) IS
    'Sees to the triggers on the source of an incremental job: watched; set up, just now (the lock on the source lasts until '
    'the end of the transaction); blind, while some are disabled, or the role may not create them. A job that finds changes by '
    'hash or watermark has none, and is watched. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.stage_changes(
    job text, source regclass, key_columns text[], target regclass, by_versions text, outdated text
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    queue record;
    names text;
    is_partial boolean;
    chunk bigint := coalesce(nullif(current_setting('pgscore.backfill_rows', true), ''), '100000');
BEGIN
    SELECT q.* INTO STRICT queue FROM pgscore.queue_of(job) AS q;
    SELECT string_agg('k' || n, ', ' ORDER BY n) INTO names FROM generate_series(1, cardinality(key_columns)) AS n;
    DROP TABLE IF EXISTS pg_temp.pgscore_changed;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_changed ON COMMIT DROP AS '
        'SELECT DISTINCT %s, everything FROM pgscore.take_changes(%L) AS q (everything boolean, %s) ORDER BY %s',
        names, job,
        (SELECT string_agg(format('k%s %s', n, type), ', ' ORDER BY n) FROM unnest(queue.key_types) WITH ORDINALITY AS t (type, n)),
        names);
    IF queue.changes = 'hash' THEN
        PERFORM pgscore.find_by_hash(job, source, key_columns);
    ELSIF queue.changes = 'watermark' THEN
        PERFORM pgscore.find_by_watermark(job, source, key_columns);
    END IF;
    -- A key that is NULL stops a run over every row, with the reason.
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM pg_temp.pgscore_changed WHERE num_nulls(%s) > 0)', names) INTO is_partial;
    IF NOT is_partial THEN
        RETURN false;
    END IF;
    ALTER TABLE pg_temp.pgscore_changed DROP COLUMN everything;
    EXECUTE format('ALTER TABLE pg_temp.pgscore_changed ADD PRIMARY KEY (%s)', names);
    IF queue.scored_with IS DISTINCT FROM by_versions THEN
        EXECUTE format(
            'INSERT INTO pg_temp.pgscore_changed SELECT %s FROM %s AS r WHERE %s ORDER BY %s r.scored_at DESC LIMIT %s '
            'ON CONFLICT DO NOTHING',
            (SELECT string_agg(format('r.%I', k), ', ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u (k, n)),
            target, outdated, CASE WHEN queue.backfill_first IS NOT NULL THEN format('r.%I DESC NULLS LAST,', queue.backfill_first) END,
            chunk);
    END IF;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION pgscore.stage_changes(text, regclass, text[], regclass, text, text) IS
    'Makes the temporary table pgscore_changed: the keys k1, k2, … that were queued or found, and up to pgscore.backfill_rows of rows '
    'r of the target of which the condition outdated holds, the largest by backfill_first or those scored last first. False, and to be left alone: any row may '
    'have changed. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.versions_wanted(
    model text, key_columns text[], called record, challenger record, keeps_vanished boolean, OUT by_versions text, OUT outdated text
)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    by_versions := called.version;
    outdated := format('r.model_version <> %s', called.version);
    IF challenger IS NOT NULL THEN
        IF challenger.canary > 0 THEN
            by_versions := format('%s, %s of the keys with %s', called.version, challenger.canary, challenger.version);
            outdated := format(
                'r.model_version <> CASE WHEN %s THEN %s ELSE %s END',
                pgscore.canary_condition(model, key_columns, challenger.canary), challenger.version, called.version);
        END IF;
    END IF;
    IF keeps_vanished THEN
        outdated := outdated || ' AND r.vanished_at IS NULL';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.versions_wanted(text, text[], record, record, boolean) IS
    'What all rows of a target are to be scored with, and the condition for rows r of it that are not. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.changes_to_score(job text, source regclass, target regclass, called record, challenger record)
RETURNS TABLE (watching text, is_partial boolean, by_versions text, outdated text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    form record;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
    SELECT v.by_versions, v.outdated INTO STRICT by_versions, outdated
    FROM pgscore.versions_wanted(it.model, it.key_columns, called, challenger, form.keeps_vanished) AS v;
    -- That the source lacks a column is said before its triggers are asked for it.
    PERFORM pgscore.scoring_query(source, it.key_columns, called, challenger);
    watching := pgscore.watch_source(job, pgscore.columns_of_run(called, challenger, form.carried));
    is_partial := false;
    IF watching <> 'set up' THEN
        is_partial := pgscore.stage_changes(job, source, it.key_columns, target, by_versions, outdated) AND watching = 'watched'
            -- Another version of a recommender knows other users and items.
            AND NOT (called.main ? 'factors' AND (SELECT q.scored_with IS DISTINCT FROM by_versions FROM pgscore.queue_of(job) AS q));
    END IF;
    IF watching = 'blind' THEN
        PERFORM pgscore.queue_everything(job);
    END IF;
    RETURN NEXT;
END
$function$;
COMMENT ON FUNCTION pgscore.changes_to_score(text, regclass, regclass, record, record) IS
    'What a run of an incremental job is about. watching is of watch_source. is_partial: of the keys in the temporary table '
    'pgscore_changed, else of all rows. by_versions: what the target is to be scored with; outdated: the condition for rows r '
    'of the target that are not. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.changes_scored(job text, target regclass, changes record)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    left_over bigint := 0;
BEGIN
    IF changes.is_partial THEN
        DROP TABLE pg_temp.pgscore_changed;
        IF (SELECT q.scored_with IS DISTINCT FROM changes.by_versions FROM pgscore.queue_of(job) AS q) THEN
            EXECUTE format('SELECT count(*) FROM %s AS r WHERE %s', target, changes.outdated) INTO left_over;
        END IF;
    END IF;
    PERFORM pgscore.record_scored(job, CASE WHEN left_over = 0 THEN changes.by_versions END, left_over);
END
$function$;
COMMENT ON FUNCTION pgscore.changes_scored(text, regclass, record) IS
    'Writes down how far a run of an incremental job, with these changes_to_score, brought the target. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.refresh_unfinished(job text)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce((SELECT q.scored_with IS NULL FROM pgscore.queue_of(job) AS q), false)
$function$;
COMMENT ON FUNCTION pgscore.refresh_unfinished(text) IS
    'Whether the last run of an incremental job was one step of several: more rows are of an old version, or its triggers were '
    'just made. run_job goes on until this is false';
