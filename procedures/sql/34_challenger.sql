-- Challengers: a second version scored beside live in each run of a job, compared, and given a share of the keys.
--
--   SELECT pgscore.promote('churn', 2, 'challenger');
--   SELECT pgscore.set_challenger('churn_daily', 'challenger', 0.1);
--   CALL pgscore.run_job('churn_daily');
--   SELECT * FROM pgscore.challenger_overview;
--
-- "live" is the version that the job's own alias points to, whatever the alias is called.
--
-- Rights are those of 31_refresh.sql, errors those of 20_functions.sql. Figures hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.canary_condition(model text, key_columns text[], share double precision)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- The hash of the values, not of their text: that would change with the session's TimeZone, DateStyle and the like.
    SELECT CASE WHEN share = 0 THEN 'false' ELSE format(
        'hash_record_extended(ROW(%s), %L::bigint) & 9007199254740991 < %s',
        (SELECT string_agg(format('r.%I', k.name), ', ' ORDER BY k.n)
         FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)),
        hashtextextended(model COLLATE "C", 0), floor(share * 9007199254740992)::bigint) END
$function$;
COMMENT ON FUNCTION pgscore.canary_condition(text, text[], double precision) IS
    'SQL: whether the row r belongs to the canary. The low 53 bits of a hash of the key, seeded with the model''s name, are a '
    'number in [0, 1), and the canary is what lies below the share: who is in it stays in it while the share grows';

CREATE OR REPLACE FUNCTION pgscore.challenger_to_run(job text)
RETURNS TABLE (
    model text, canary double precision, alias text,
    version integer, name text, strategy text, kind text, parameters jsonb, main jsonb, functions jsonb
)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT it.model, j.canary, j.challenger, v.version, v.name, v.strategy, v.kind, v.parameters, v.main, v.functions
    FROM pgscore.job_of(challenger_to_run.job) AS it
    JOIN pgscore.jobs AS j USING (job_id)
    JOIN pgscore.aliases AS a ON a.model_id = j.model_id AND a.alias = j.challenger
    CROSS JOIN LATERAL pgscore.version_to_run(it.model, a.alias) AS v
$function$;
COMMENT ON FUNCTION pgscore.challenger_to_run(text) IS
    'The version of a job''s challenger, and its canary share; no row where the job has none, or its alias points to no '
    'version. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_challenger(job text, alias text, canary double precision)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    IF alias !~ '^[a-z][a-z0-9_]*$' OR octet_length(alias) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for an alias', alias),
            HINT = 'use lower-case letters, digits and _, and begin with a letter';
    END IF;
    IF alias = it.alias THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s scores with alias %s already', job, alias),
            HINT = format('give the challenger an alias of its own: SELECT pgscore.promote(%L, VERSION, %L)', it.model, 'challenger');
    END IF;
    IF canary IS NULL OR NOT canary BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004', MESSAGE = 'the canary share lies between 0 and 1', HINT = 'such as 0.1 for a tenth of the keys';
    END IF;
    IF canary > 0 AND (SELECT j.live FROM pgscore.jobs AS j WHERE j.job_id = it.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s has a live view, which scores with one version: it takes no canary', job),
            HINT = format('SELECT pgscore.set_live(%L, false) drops the view', job);
    END IF;
    UPDATE pgscore.jobs AS j
    SET challenger = record_challenger.alias,
        canary = CASE WHEN record_challenger.alias IS NULL THEN 0 ELSE record_challenger.canary END
    WHERE j.job_id = it.job_id;
END
$function$;
COMMENT ON FUNCTION pgscore.record_challenger(text, text, double precision) IS
    'Writes down a job''s challenger, which set_challenger then checks. Part of set_challenger';

CREATE OR REPLACE FUNCTION pgscore.check_challenger(job text, called record, challenger record)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF challenger.main ->> 'result' <> called.main ->> 'result' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format(
                'refresh job %s cannot compare %s, which gives %s, with its challenger %s, which gives %s',
                job, called.name, called.main ->> 'result', challenger.name, challenger.main ->> 'result'),
            HINT = format(
                'point alias %s to another version, or take it away: SELECT pgscore.set_challenger(%L, NULL)',
                challenger.alias, job);
    END IF;
    IF called.main ? 'factors' AND (SELECT f.top IS NOT NULL FROM pgscore.target_form(job) AS f) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('refresh job %s ranks all items for users: it has no challenger', job),
            HINT = 'give the other version a job of its own, by its alias, and compare the two tables';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_challenger(text, record, record) IS
    'Raises unless the challenger (of challenger_to_run) gives the type that live gives. Part of refresh and set_challenger';

CREATE OR REPLACE FUNCTION pgscore.set_challenger(job text, alias text, canary double precision DEFAULT 0)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    called record;
    challenger record;
BEGIN
    PERFORM pgscore.record_challenger(job, alias, canary);
    SELECT c.* INTO challenger FROM pgscore.challenger_to_run(job) AS c;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    SELECT v.* INTO STRICT called FROM pgscore.version_to_run(it.model, it.alias) AS v;
    PERFORM pgscore.check_challenger(job, called, challenger);
    IF canary > 0 THEN
        -- Asked of a row of NULLs.
        BEGIN
            EXECUTE format(
                'SELECT %s FROM (SELECT (NULL::%s).*) AS r', pgscore.canary_condition(it.model, it.key_columns, canary), it.source);
        EXCEPTION WHEN undefined_function THEN
            RAISE EXCEPTION USING
                ERRCODE = 'PS004',
                MESSAGE = format('the key of %s takes no canary: %s', it.source, SQLERRM),
                HINT = 'a view over the source can cast it to text';
        END;
    END IF;
    -- Planning the query, with the outputs, finds what else would stop a run.
    EXECUTE 'EXPLAIN ' || pgscore.scoring_query(
        it.source::regclass, it.key_columns, called, challenger,
        ARRAY(SELECT format('%s AS %I', c.expression, c.place)
              FROM pgscore.target_form(job) AS f
              CROSS JOIN LATERAL pgscore.target_columns(it.source::regclass, it.key_columns, called, challenger, f) AS c));
    RETURN challenger.version;
END
$function$;
COMMENT ON FUNCTION pgscore.set_challenger(text, text, double precision) IS
    'From the next run on, the version that alias means then is scored beside live and compared (challenger_overview); the '
    'share canary of the keys gets its score. NULL takes the challenger away. Gives the version that alias means now; NULL: '
    'none, and until there is one, runs go on with live alone';

CREATE OR REPLACE FUNCTION pgscore.compare_scores(n_keys integer, called record, challenger record)
RETURNS pgscore.comparisons
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it pgscore.comparisons;
    -- Numbers that have an order and a mean: not labels, though these can be doubles too.
    are_numbers CONSTANT boolean := called.main ->> 'result' = 'double precision'
        AND called.main ->> 'labels' IS NULL AND challenger.main ->> 'labels' IS NULL;
    agree CONSTANT text := CASE
        WHEN called.kind = 'binary classifier' AND challenger.kind = called.kind AND are_numbers
            THEN '(s.score > 0.5) = (s.challenger > 0.5)'
        WHEN called.kind = 'outlier detector' AND challenger.kind = called.kind AND are_numbers
            THEN '(s.score >= 0) = (s.challenger >= 0)'
        WHEN are_numbers OR called.main ->> 'result' = 'double precision[]' AND called.kind <> 'multi-output classifier'
            THEN 'NULL::boolean'
        ELSE 's.score = s.challenger'
    END;
    keys CONSTANT text := (SELECT string_agg('s.k' || n, ', ' ORDER BY n) FROM generate_series(1, n_keys) AS n);
    pairs bigint;
    agreeing bigint;
BEGIN
    EXECUTE format(
        $counts$
        SELECT
            count(*),
            count(*) FILTER (WHERE s.canary),
            count(*) FILTER (WHERE s.score IS NULL AND s.challenger IS NULL),
            count(*) FILTER (WHERE s.score IS NULL AND s.challenger IS NOT NULL),
            count(*) FILTER (WHERE s.score IS NOT NULL AND s.challenger IS NULL),
            count(%1$s),
            count(*) FILTER (WHERE %1$s)
        FROM pg_temp.pgscore_scored AS s
        $counts$, agree)
    INTO it.rows, it.canary_rows, it.both_refused, it.only_live_refused, it.only_challenger_refused, pairs, agreeing;
    it.challenger := challenger.alias;
    it.version := called.version;
    it.challenger_version := challenger.version;
    it.canary := challenger.canary;
    it.agreement := agreeing::double precision / nullif(pairs, 0);
    IF NOT are_numbers THEN
        RETURN it;
    END IF;

    pairs := it.rows - it.both_refused - it.only_live_refused - it.only_challenger_refused;
    -- Sums and differences of numbers near the end of the doubles would raise, and no run fails for its figures.
    SELECT sum(i.score) / pairs, sum(i.challenger) / pairs,
           sum(i.challenger - i.score) / pairs, sum(abs(i.challenger - i.score)) / pairs, max(abs(i.challenger - i.score))
    INTO it.mean_live, it.mean_challenger, it.mean_shift, it.mean_abs_shift, it.max_abs_shift
    FROM (
        SELECT s.score, s.challenger
        FROM pg_temp.pgscore_scored AS s
        WHERE abs(s.score) < 1e290 AND abs(s.challenger) < 1e290
    ) AS i
    HAVING count(*) = pairs;

    EXECUTE format(
        $ranks$
        SELECT
            corr(p.rank, p.challenger_rank),
            count(*) FILTER (WHERE p.place <= $1 AND p.challenger_place <= $1)::double precision / nullif($1, 0),
            count(*) FILTER (WHERE p.place <= $2 AND p.challenger_place <= $2)::double precision / nullif($2, 0)
        FROM (
            SELECT
                -- Of ties, twice the mean rank.
                rank() OVER live + count(*) OVER live AS rank,
                rank() OVER challenger + count(*) OVER challenger AS challenger_rank,
                row_number() OVER (ORDER BY s.score DESC, %1$s) AS place,
                row_number() OVER (ORDER BY s.challenger DESC, %1$s) AS challenger_place
            FROM pg_temp.pgscore_scored AS s
            WHERE s.score IS NOT NULL AND s.challenger IS NOT NULL
            WINDOW live AS (ORDER BY s.score DESC), challenger AS (ORDER BY s.challenger DESC)
        ) AS p
        $ranks$, keys)
    INTO it.rank_correlation, it.overlap_top_1pct, it.overlap_top_10pct
    USING (pairs + 99) / 100, (pairs + 9) / 10;

    SELECT max(abs(d.ahead)) / pairs::double precision INTO it.ks
    FROM (
        SELECT sum(v.one) OVER (ORDER BY v.score) AS ahead
        FROM pg_temp.pgscore_scored AS s
        CROSS JOIN LATERAL (VALUES (s.score, 1), (s.challenger, -1)) AS v (score, one)
        WHERE s.score IS NOT NULL AND s.challenger IS NOT NULL
    ) AS d;
    RETURN it;
END
$function$;
COMMENT ON FUNCTION pgscore.compare_scores(integer, record, record) IS
    'The figures of pgscore.comparisons from the temporary table pgscore_scored (of score_source). Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_comparison(job text, comparison pgscore.comparisons)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.comparisons
    SELECT (record_comparison.comparison).*
    FROM pgscore.job_of(record_comparison.job) AS j
    JOIN pgscore.runs AS r USING (job_id)
    WHERE r.run_id = (record_comparison.comparison).run_id
$function$;
COMMENT ON FUNCTION pgscore.record_comparison(text, pgscore.comparisons) IS
    'Writes down the comparison of a run of a refresh job. Part of refresh';

CREATE OR REPLACE VIEW pgscore.challenger_overview WITH (security_barrier) AS
SELECT
    j.name AS job,
    c.run_id,
    r.started_at AS at,
    m.name AS model,
    j.alias,
    c.version,
    c.challenger,
    c.challenger_version,
    c.rows,
    c.canary,
    c.canary_rows,
    c.both_refused,
    c.only_live_refused,
    c.only_challenger_refused,
    c.agreement,
    c.mean_live,
    c.mean_challenger,
    c.mean_shift,
    c.mean_abs_shift,
    c.max_abs_shift,
    c.ks,
    c.rank_correlation,
    c.overlap_top_1pct,
    c.overlap_top_10pct
FROM pgscore.comparisons AS c
JOIN pgscore.runs AS r USING (run_id)
JOIN pgscore.jobs AS j USING (job_id)
JOIN pgscore.models AS m USING (model_id)
WHERE has_table_privilege('pgscore.model_overview', 'SELECT')
   OR coalesce(pg_has_role(to_regrole(quote_ident(j.owner)), 'MEMBER'), false);
COMMENT ON VIEW pgscore.challenger_overview IS
    'How challengers scored beside live, run by run: of all jobs for who may read the other overviews, else of '
    'jobs of one''s own';
