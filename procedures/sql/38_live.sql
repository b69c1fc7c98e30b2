-- Live scores: a view that gives the stored score of a row where that is fresh, and else computes it.
--
--   SELECT pgscore.set_live('churn_daily');
--   SELECT score, stored FROM public.churn_scores_live WHERE customer_id = 7;
--
-- A stored score is fresh where it is of the version that the job's alias means now, and its key is not queued (triggers see
-- what changes), or the last good run is within target_lag (nothing does until a run). The version, the queue, the source and the target are
-- read in one snapshot, and what computes is the function of the very version that the row is said to be of: a promote
-- meanwhile changes nothing in a query that has begun. So the view does not call score.MODEL, which moves.
--
-- Rights. The view reads source and target, and calls the model, with the rights of who reads it. What is behind the catalog
-- comes from small functions that run as the owner: the version, a query, and whether one key is queued.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.served_version(job_id integer)
RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT v.version
    FROM pgscore.jobs AS j
    JOIN pgscore.aliases AS a USING (model_id, alias)
    JOIN pgscore.versions AS v USING (version_id)
    WHERE j.job_id = served_version.job_id
      AND (EXISTS (SELECT FROM pgscore.queues AS q WHERE q.job_id = j.job_id AND q.changes = 'triggers')
           OR j.target_lag IS NULL OR clock_timestamp() - j.target_lag <= (
          SELECT r.started_at
          FROM pgscore.runs AS r
          WHERE r.job_id = j.job_id AND r.state = 'done'
          ORDER BY r.run_id DESC
          LIMIT 1))
$function$;
COMMENT ON FUNCTION pgscore.served_version(integer) IS
    'The version whose stored scores the live view of a job gives: that of the alias; NULL: none, as the last good run of a '
    'job without triggers is older than target_lag. Part of TARGET_live';

CREATE OR REPLACE FUNCTION pgscore.is_queued(job_id integer, key record)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    queue CONSTANT regclass := to_regclass(format('pgscore.queue_%s', job_id));
    pages CONSTANT bigint := pg_relation_size(queue) / current_setting('block_size')::bigint;
    keys bigint;
    answer boolean;
BEGIN
    -- The queue has no index, for the sake of writers. To look through more than a thousand keys costs more than a score,
    -- which is never wrong.
    IF pages IS NULL OR pages > 8 THEN
        RETURN true;
    END IF;
    IF pages = 0 THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT bool_or(q.everything), sum(q.changes) FROM %s AS q', queue) INTO answer, keys;
    IF answer OR keys > 1000 THEN
        RETURN true;
    END IF;
    IF keys IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE (
        SELECT format(
            'SELECT EXISTS (SELECT FROM %s AS q CROSS JOIN LATERAL unnest(%s) AS u (%s) WHERE ROW(%s) = $1)',
            queue, string_agg('q.' || a.attname, ', ' ORDER BY a.attnum), string_agg(a.attname, ', ' ORDER BY a.attnum),
            string_agg('u.' || a.attname, ', ' ORDER BY a.attnum))
        FROM pg_attribute AS a
        WHERE a.attrelid = queue AND a.attname ~ '^k[0-9]' AND NOT a.attisdropped)
    INTO answer USING key;
    RETURN answer;
END
$function$;
COMMENT ON FUNCTION pgscore.is_queued(integer, record) IS
    'Whether the inputs of a key may have changed since an incremental job scored it: it is queued, or everything is, or more '
    'is than is worth reading. Part of TARGET_live';

CREATE OR REPLACE FUNCTION pgscore.live_query(job_id integer)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    called record;
BEGIN
    SELECT j.name, j.alias, j.source, m.name AS model, coalesce(f.outputs, '{}') AS outputs INTO it
    FROM pgscore.jobs AS j
    JOIN pgscore.models AS m USING (model_id)
    LEFT JOIN pgscore.target_forms AS f USING (job_id)
    WHERE j.job_id = live_query.job_id;
    IF NOT FOUND OR to_regclass(it.source) IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = CASE WHEN it IS NULL THEN 'the refresh job of this view is gone'
                           ELSE format('the source of refresh job %s is gone: %s', it.name, it.source) END,
            HINT = 'drop the view; pgscore.set_live makes one for a job';
    END IF;
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    RETURN format(
        'SELECT ARRAY[%L%s] FROM unnest(ARRAY[$1]) AS r',
        called.version,
        (SELECT string_agg(format(', (%s)::text', pgscore.score_expression(to_regclass(it.source), called, o.suffix)), '' ORDER BY o.n)
         FROM unnest('{""}'::text[] || ARRAY(SELECT '_' || u FROM unnest(it.outputs) AS u)) WITH ORDINALITY AS o (suffix, n)));
END
$function$;
COMMENT ON FUNCTION pgscore.live_query(integer) IS
    'The query that scores a row $1 of a job''s source with the version of its alias: an array of the version, the score and '
    'the outputs, as text. Part of TARGET_live';

CREATE OR REPLACE FUNCTION pgscore.compute_live(query text, source_row anyelement)
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER COST 10000
SET search_path = pg_catalog, pg_temp
-- All digits of a double.
SET extra_float_digits = 1
AS $function$
DECLARE
    answers text[];
BEGIN
    EXECUTE query INTO answers USING source_row;
    RETURN answers;
END
$function$;
COMMENT ON FUNCTION pgscore.compute_live(text, anyelement) IS
    'What live_query gives for a row, with the rights of the caller. Part of TARGET_live';

CREATE OR REPLACE FUNCTION pgscore.record_live(job text, live boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    mine record;
BEGIN
    UPDATE pgscore.jobs AS j
    SET live = record_live.live
    FROM pgscore.job_of(record_live.job) AS it
    WHERE j.job_id = it.job_id
    RETURNING j.canary INTO mine;
    IF live AND mine.canary > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s has a canary, and a live view scores with one version', job),
            HINT = 'take the canary away: pgscore.set_challenger';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.record_live(text, boolean) IS 'Writes down whether a job has a live view. Part of set_live';

CREATE OR REPLACE FUNCTION pgscore.set_live(job text, live boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    form record;
    view text;
    says CONSTANT text := format('Live scores of refresh job %s', job);
    keys text;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT f.* INTO STRICT form FROM pgscore.target_form(job) AS f;
    IF live IS NOT true THEN
        IF (SELECT j.live FROM pgscore.freshness AS j WHERE j.job = set_live.job) THEN
            EXECUTE format('DROP VIEW IF EXISTS %s', pgscore.view_beside(job, it.target, '_live', says));
        END IF;
        PERFORM pgscore.record_live(job, false);
        RETURN;
    END IF;
    view := pgscore.view_beside(job, it.target, '_live', says);
    IF form.top IS NOT NULL OR 'stored' = ANY (it.key_columns || form.outputs || form.carried) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = CASE WHEN form.top IS NULL THEN format('the view %s would have two columns stored', view)
                           ELSE format('refresh job %s ranks rows, and a row computed now has no rank', job) END,
            HINT = 'see docs/refresh.md';
    END IF;
    PERFORM pgscore.record_live(job, true);
    SELECT string_agg(format('r.%I', k), ', ' ORDER BY n) INTO keys FROM unnest(it.key_columns) WITH ORDINALITY AS u (k, n);
    -- OFFSET 0: what is asked or computed is so once for a row, whichever columns are read. The versions and the query are
    -- subqueries, evaluated once, and only where a row needs them.
    EXECUTE format(
        $view$
        CREATE OR REPLACE VIEW %1$s WITH (security_invoker) AS
        SELECT
            %2$s, %3$s,
            CASE WHEN f.stored THEN t.model_version ELSE c.answers[1]::integer END AS model_version,
            CASE WHEN f.stored THEN t.scored_at ELSE now() END AS scored_at,
            f.stored
        FROM %4$s AS r
        LEFT JOIN %5$s AS t ON %6$s
        CROSS JOIN LATERAL (
            SELECT coalesce(t.model_version = (SELECT pgscore.served_version(%7$s)) AND %8$s, false) AS stored OFFSET 0
        ) AS f
        CROSS JOIN LATERAL (
            SELECT CASE WHEN NOT f.stored THEN pgscore.compute_live((SELECT pgscore.live_query(%7$s)), r.*) END AS answers
            OFFSET 0
        ) AS c
        $view$,
        view, keys,
        (SELECT string_agg(
             format('CASE WHEN f.stored THEN t.%1$I ELSE (c.answers[%2$s])::%3$s END AS %1$I',
                    o.name, o.n + 1, format_type(a.atttypid, a.atttypmod)),
             ', ' ORDER BY o.n)
         || (SELECT coalesce(string_agg(format(', r.%I', c.name), '' ORDER BY c.n), '')
             FROM unnest(form.carried) WITH ORDINALITY AS c (name, n))
         FROM unnest('{score}' || form.outputs) WITH ORDINALITY AS o (name, n)
         JOIN pg_attribute AS a ON a.attrelid = to_regclass(it.target) AND a.attname = o.name),
        it.source, it.target,
        (SELECT string_agg(format('t.%1$I = r.%1$I', k), ' AND ' ORDER BY n)
         FROM unnest(it.key_columns) WITH ORDINALITY AS u (k, n)),
        it.job_id,
        concat_ws(
            ' AND ',
            CASE WHEN form.keeps_vanished THEN 't.vanished_at IS NULL' END,
            CASE WHEN pgscore.is_incremental(job) THEN format('NOT pgscore.is_queued(%s, ROW(%s))', it.job_id, keys) ELSE 'true' END));
    EXECUTE format('COMMENT ON VIEW %s IS %L', view, says);
END
$function$;
COMMENT ON FUNCTION pgscore.set_live(text, boolean) IS
    'Makes the view TARGET_live of a refresh job, or drops it: for each row of the source the key, the score and the outputs, '
    'stored where they are fresh and else computed now, what is carried, model_version, scored_at and stored. Who reads it needs SELECT on '
    'source, target and view, and the model';
