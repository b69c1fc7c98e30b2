-- What a run of a refresh job would do, and why, without doing it.
--
--   SELECT topic, says FROM pgscore.explain_refresh('churn_daily');
--   SELECT says FROM pgscore.explain_refresh('churn_daily', plan => true) WHERE topic = 'plan';
--
-- Numbers of rows are the planner's estimates; those of changes are counted in the queue.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.estimated_rows(query text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' -> 'Plan Rows';
END
$function$;
COMMENT ON FUNCTION pgscore.estimated_rows(text) IS 'How many rows the planner expects of a query. Part of refresh and explain_refresh';

CREATE OR REPLACE FUNCTION pgscore.everything_is_queued(job text)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    answer boolean;
BEGIN
    EXECUTE (SELECT format('SELECT EXISTS (SELECT FROM %s WHERE everything)', q.queue) FROM pgscore.queue_of(job) AS q) INTO answer;
    RETURN answer;
END
$function$;
COMMENT ON FUNCTION pgscore.everything_is_queued(text) IS
    'Whether any row of the source of an incremental job may have changed. Part of explain_refresh';

CREATE OR REPLACE FUNCTION pgscore.run_going_on(job_id integer)
RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- The two keys of the advisory lock are kept as oids: without a sign.
    SELECT l.pid
    FROM pg_locks AS l
    JOIN pg_database AS d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
      AND l.classid::bigint = hashtext('pgscore.refresh')::bigint & 4294967295
      AND l.objid::bigint = run_going_on.job_id AND l.objsubid = 2
    LIMIT 1
$function$;
COMMENT ON FUNCTION pgscore.run_going_on(integer) IS 'The process in which a job runs now; NULL: none. Part of explain_refresh';

CREATE OR REPLACE FUNCTION pgscore.missing_rights(source regclass, reads text[], target regclass, names text[], needs_triggers boolean)
RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT format('USAGE on schema %I', n.nspname)
    FROM pg_namespace AS n
    WHERE n.oid IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid IN (source, target))
      AND NOT has_schema_privilege(n.oid, 'USAGE')
    UNION ALL
    SELECT format('SELECT (%s) on %s', string_agg(quote_ident(r), ', ' ORDER BY r), source)
    FROM (SELECT DISTINCT unnest(reads)) AS u (r)
    WHERE NOT has_column_privilege(source, r, 'SELECT')
    HAVING count(*) > 0
    UNION ALL
    SELECT format('%s on %s', p, target)
    FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
    WHERE NOT has_table_privilege(target, p)
    UNION ALL
    SELECT format('EXECUTE on function %s', f.oid::regprocedure)
    FROM unnest(pgscore.functions_named(names)) AS f (oid)
    WHERE NOT has_function_privilege(f.oid, 'EXECUTE')
    UNION ALL
    SELECT format('TEMPORARY on database %I', current_database())
    WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
    UNION ALL
    SELECT format('TRIGGER on %s', t.relid)
    FROM (
        SELECT source AS relid
        UNION
        SELECT p.relid FROM pg_partition_tree(source) AS p
    ) AS t
    WHERE needs_triggers AND NOT has_table_privilege(t.relid, 'TRIGGER')
$function$;
COMMENT ON FUNCTION pgscore.missing_rights(regclass, text[], regclass, text[], boolean) IS
    'What the caller may not do, and a run must: on the source and these columns of it, the target, and the functions called '
    'names. Part of explain_refresh';

CREATE OR REPLACE FUNCTION pgscore.explain_changes(job text, target regclass, called record, challenger record)
RETURNS TABLE (topic text, says text, value jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    form record;
    triggers record;
    queue record;
    backlog record;
    want record;
    old bigint;
    -- As run_job has it.
    chunk CONSTANT bigint := least(
        coalesce(nullif(current_setting('pgscore.backfill_rows', true), ''), '100000')::bigint,
        10 * (SELECT l.max_rows_per_second FROM pgscore.limits_of(job) AS l));
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
    SELECT t.* INTO STRICT triggers
    FROM pgscore.triggers_of(job, pgscore.columns_of_run(called, challenger, form.carried)) AS t;
    SELECT q.* INTO STRICT queue FROM pgscore.queue_of(job) AS q;
    IF queue.changes = 'triggers' THEN
        topic := 'triggers';
        says := CASE triggers.state
            WHEN 'watched' THEN 'in order: changes are queued'
            WHEN 'disabled' THEN 'disabled: each run scores every row until ALTER TABLE … ENABLE TRIGGER'
            ELSE 'not in order (new partitions, columns or none yet): the run makes them anew and scores nothing; the next scores every row'
        END;
        value := to_jsonb(triggers.state);
    ELSE
        topic := 'changes';
        says := CASE queue.changes
            WHEN 'hash' THEN 'found by a hash of the inputs: the whole source is read'
            ELSE format('found by %I: rows from %s before the latest seen', queue.watermark, queue.lookback)
        END;
        value := to_jsonb(queue.changes);
    END IF;
    RETURN NEXT;
    SELECT b.* INTO backlog FROM pgscore.backlog(it.job_id) AS b;
    topic := 'queue';
    IF pgscore.everything_is_queued(job) THEN
        says := 'any row may have changed: every row is scored';
    ELSIF backlog.queued IS NULL THEN
        says := 'none: how much has changed is unknown until the run looks';
    ELSE
        says := format('%s changes of keys: those rows are scored', backlog.queued);
    END IF;
    value := to_jsonb(backlog.queued);
    RETURN NEXT;
    SELECT v.* INTO STRICT want FROM pgscore.versions_wanted(it.model, it.key_columns, called, challenger, form.keeps_vanished) AS v;
    topic := 'outdated';
    old := 0;
    says := 'no row of the target is of another version';
    IF queue.scored_with IS DISTINCT FROM want.by_versions AND called.main ? 'factors' THEN
        says := format('all is of another version than %s: all is scored anew', want.by_versions);
    ELSIF queue.scored_with IS DISTINCT FROM want.by_versions THEN
        old := pgscore.estimated_rows(format('SELECT FROM %s AS r WHERE %s', target, want.outdated));
        says := format(
            'about %s rows of the target are not of version %s: %s of them in each step, so about %s steps', old,
            want.by_versions, chunk, ceil(old / chunk::numeric));
    END IF;
    value := to_jsonb(old);
    RETURN NEXT;
END
$function$;
COMMENT ON FUNCTION pgscore.explain_changes(text, regclass, record, record) IS
    'Which rows the next run of an incremental job is about, and why. Part of explain_refresh';

CREATE OR REPLACE FUNCTION pgscore.explain_refresh(job text, plan boolean DEFAULT false)
RETURNS TABLE (topic text, says text, value jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $function$
DECLARE
    it record;
    fresh record;
    called record;
    challenger record;
    source regclass;
    target regclass;
    form record;
    others record;
    limits record;
    query text;
    names text[];
    rights text[];
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT f.* INTO STRICT fresh FROM pgscore.freshness AS f WHERE f.job = explain_refresh.job;
    SELECT l.* INTO STRICT limits FROM pgscore.limits_of(job) AS l;
    SELECT 'state', fresh.state || CASE
            WHEN fresh.error IS NOT NULL THEN ': ' || fresh.error
            WHEN fresh.version <> fresh.current_version
                THEN format(': the last good run was of version %s', fresh.version)
            ELSE ''
        END, to_jsonb(fresh.state)
    INTO topic, says, value;
    RETURN NEXT;
    value := to_jsonb(pgscore.run_going_on(it.job_id));
    IF value IS NOT NULL THEN
        topic := 'problem';
        says := format('another run of it is going on, in process %s: this one would be refused', value);
        RETURN NEXT;
    END IF;
    BEGIN
        SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
        topic := 'version';
        says := format('version %s of %s, which alias %s means', called.version, it.model, it.alias);
        value := to_jsonb(called.version);
        RETURN NEXT;
        SELECT c.* INTO challenger FROM pgscore.challenger_to_run(job) AS c WHERE c.version <> called.version;
        IF FOUND THEN
            topic := 'challenger';
            says := format(
                'version %s, which alias %s means, is scored beside; %s %% of the keys get its score', challenger.version,
                challenger.alias, challenger.canary * 100);
            value := to_jsonb(challenger.version);
            RETURN NEXT;
            PERFORM pgscore.check_challenger(job, called, challenger);
        ELSE
            challenger := NULL;
        END IF;
        source := to_regclass(it.source);
        target := to_regclass(it.target);
        IF source IS NULL OR target IS NULL THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS001', MESSAGE = format('%s is gone', CASE WHEN source IS NULL THEN it.source ELSE it.target END);
        END IF;
        SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
        SELECT
            coalesce(array_agg(c.name), '{}') AS names, coalesce(array_agg(c.type), '{}') AS types,
            coalesce(array_agg(format('%s AS %I', c.expression, c.place)), '{}') AS expressions
        INTO others
        FROM pgscore.target_columns(source, it.key_columns, called, challenger, form) AS c;
        PERFORM pgscore.check_target(target, source, it.key_columns, called.main ->> 'result', others.names, others.types);
        query := CASE
            WHEN form.top IS NOT NULL AND called.main ? 'factors'
                THEN pgscore.recommendation_query(job, source, it.key_columns, called, form)
            ELSE pgscore.scoring_query(source, it.key_columns, called, challenger, others.expressions)
        END;

        names := called.name
            || ARRAY(SELECT called.name || '_' || o FROM unnest('{features,outputs,top}'::text[] || form.outputs) AS o);
        IF challenger IS NOT NULL THEN
            names := names || ARRAY[challenger.name, challenger.name || '_features', challenger.name || '_outputs'];
        END IF;
        rights := ARRAY(
            SELECT r
            FROM pgscore.missing_rights(
                source, it.key_columns || pgscore.columns_of_run(called, challenger, form.carried), target, names, fresh.mode = 'incremental' AND NOT EXISTS (SELECT FROM pgscore.queue_of(job))) AS r);
        topic := 'rights';
        says := CASE WHEN rights = '{}' THEN format('role %s has them all', current_user)
                     ELSE format('role %s lacks %s', current_user, array_to_string(rights, '; ')) END;
        value := to_jsonb(rights);
        RETURN NEXT;
        IF rights <> '{}' THEN
            RETURN;
        END IF;

        topic := 'rows';
        value := to_jsonb(pgscore.estimated_rows(query));
        says := format('about %s in %s', value, source);
        RETURN NEXT;
        topic := 'mode';
        value := to_jsonb(fresh.mode);
        says := CASE fresh.mode
            WHEN 'full' THEN 'full: every row is scored'
            ELSE 'incremental: rows that changed, and rows of an old version'
        END;
        RETURN NEXT;
        IF fresh.mode = 'incremental' THEN
            RETURN QUERY SELECT c.* FROM pgscore.explain_changes(job, target, called, challenger) AS c;
        ELSE
            topic := 'chunks';
            value := to_jsonb(10 * limits.max_rows_per_second);
            says := CASE
                WHEN value IS NULL THEN 'none, unless asked for: one snapshot'
                ELSE format('of %s rows, for the limit of rows per second', value) END
                || coalesce((
                    SELECT format('; %s with %s rows are scored since %s', c.chunks, c.rows, c.begun_at)
                    FROM pgscore.chunked_run_of(job) AS c
                    WHERE c.query = pgscore.chunk_query(source, it.key_columns, called, challenger, others.expressions)), '');
            RETURN NEXT;
        END IF;
        topic := 'scoring';
        IF pgscore.scores_in_batches(called) THEN
            value := to_jsonb('onnx'::text);
            says := 'onnx, 10,000 rows in one call';
        ELSE
            value := to_jsonb(called.strategy);
            says := called.strategy || ', in the query';
        END IF;
        RETURN NEXT;
        SELECT
            'writing',
            CASE w.written WHEN 'swap' THEN 'all rows are built beside and swapped in' ELSE 'the difference' END || ': ' || w.because,
            to_jsonb(w.written)
        INTO topic, says, value
        FROM pgscore.choose_writing(
            job, target, it.key_columns, it.key_columns || '{score,model_version}'::text[] || others.names, called, query, true,
            challenger IS NOT NULL, form.keeps_vanished) AS w;
        RETURN NEXT;
    EXCEPTION WHEN OTHERS THEN
        -- Ours, and what PostgreSQL says when it plans: neither holds values of rows.
        SELECT 'problem', SQLERRM, to_jsonb(SQLSTATE) INTO topic, says, value;
        RETURN NEXT;
        RETURN;
    END;
    SELECT 'limits', concat_ws(
            ', ', 'statement_timeout ' || limits.statement_timeout, 'lock_timeout ' || limits.lock_timeout,
            limits.max_rows_per_second || ' rows a second'), to_jsonb(limits)
    INTO topic, says, value;
    says := coalesce(nullif(says, ''), 'none of the job''s own');
    RETURN NEXT;
    IF plan THEN
        topic := 'plan';
        value := NULL;
        FOR says IN EXECUTE 'EXPLAIN (VERBOSE) ' || query LOOP
            RETURN NEXT;
        END LOOP;
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.explain_refresh(text, boolean) IS
    'What a run of a refresh job would do, and why; with plan also PostgreSQL''s plan of the scoring query. Changes nothing. A '
    'row of topic problem is what would stop the run';
