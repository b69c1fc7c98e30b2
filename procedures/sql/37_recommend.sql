-- Recommendations: top jobs of a recommender, a model of the factors of users and items (27_factors.sql).
--
--   SELECT pgscore.create_refresh('recs', 'taste', 'ratings', '{user_id,item_id}', 'predictions.recs',
--                                 top => 10, mode => 'incremental');
--   CALL pgscore.refresh('recs');
--   SELECT item_id FROM predictions.recs WHERE user_id = 7 ORDER BY rank;
--
-- The source says what each user has seen. A run goes, for each user in it, once through all items and keeps the best ones that
-- the user has not seen: users × items is stored nowhere. An incremental run does so for the users with changed rows alone.
--
-- All of it runs as the caller of refresh; the factors are read by the version's own function.

CREATE OR REPLACE FUNCTION pgscore.recommendation_query(
    job text, source regclass, key_columns text[], called record, form record, among text DEFAULT NULL
)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    "user" CONSTANT jsonb := called.parameters -> 0;
    item CONSTANT jsonb := called.parameters -> 1;
    rating CONSTANT text := called.main -> 'factors' ->> 'rating';
    problem text;
BEGIN
    problem := CASE
        WHEN key_columns <> ARRAY["user" ->> 'column', item ->> 'column']
            THEN format('ranks items for users: its key is %I, %I, in this order', "user" ->> 'column', item ->> 'column')
        WHEN form.per <> key_columns[1:1] THEN format('ranks items for users: per %I', key_columns[1])
        WHEN form.order_by <> 'score' THEN 'ranks all items: by their score, as the source has no row of most'
        WHEN form.diverse IS NOT NULL THEN 'ranks all items: it knows no column of theirs to be diverse by'
        WHEN form.carried <> '{}' THEN 'ranks all items: the source has no row of most to carry columns from'
        WHEN form.outputs <> '{}' THEN format('has no more outputs than the score: %s has none', called.name)
        WHEN rating IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = source AND a.attname = rating AND a.attnum > 0 AND NOT a.attisdropped)
            THEN format('needs the column %I of %s, from which %s has the factors of users', rating, source, called.name)
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = format('refresh job %s %s', job, problem), HINT = 'see docs/recommendations.md';
    END IF;
    RETURN format(
        $query$
        SELECT u.k1, best.item::%1$s AS k2, best.score, NULL::integer AS rank
        FROM (
            SELECT r.%2$I AS k1, array_agg((r.%3$I)::%4$s) FILTER (WHERE r.%3$I IS NOT NULL) AS seen%5$s
            FROM %6$s AS r
            WHERE r.%2$I IS NOT NULL%7$s
            GROUP BY r.%2$I
        ) AS u
        CROSS JOIN LATERAL score.%8$I(%9$s, %10$s) AS best
        $query$,
        (SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a WHERE a.attrelid = source AND a.attname = key_columns[2]),
        key_columns[1], key_columns[2], item ->> 'type',
        (SELECT format(', array_agg((r.%I)::double precision) FILTER (WHERE r.%I IS NOT NULL) AS ratings', rating, key_columns[2])
         WHERE rating IS NOT NULL),
        source,
        ' AND r.' || quote_ident(key_columns[1]) || ' IN (SELECT c.k1 FROM ' || among || ' AS c)',
        called.name || '_top',
        CASE WHEN rating IS NULL THEN format('u.k1::%s, u.seen', "user" ->> 'type') ELSE 'u.seen, u.ratings' END,
        form.keep);
END
$function$;
COMMENT ON FUNCTION pgscore.recommendation_query(text, regclass, text[], record, record, text) IS
    'The query of a recommender''s top job: keys k1 and k2, score, and rank, which rank_scored fills; of all users in the source, or those '
    'whose k1 stands in the table among. Raises where the job does not fit the version. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.recommend(
    job text, source regclass, target regclass, key_columns text[], called record, form record, among text
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    DROP TABLE IF EXISTS pg_temp.pgscore_scored;
    EXECUTE 'CREATE TEMPORARY TABLE pgscore_scored ON COMMIT DROP AS '
        || pgscore.recommendation_query(job, source, key_columns, called, form, among);
    IF among IS NOT NULL THEN
        -- All that these users have in the target is written anew, or goes; what is scored is among the changed keys.
        EXECUTE format(
            'INSERT INTO %1$s (k1, k2) SELECT t.%2$I, t.%3$I FROM %4$s AS t WHERE t.%2$I IN (SELECT c.k1 FROM %1$s AS c)'
            ' UNION SELECT s.k1, s.k2 FROM pg_temp.pgscore_scored AS s ON CONFLICT DO NOTHING',
            among, key_columns[1], key_columns[2], target);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.recommend(text, regclass, regclass, text[], record, record, text) IS
    'Makes the temporary table pgscore_scored of a recommender''s top job, as score_source does for others; with the table among '
    'of changed keys, of their users, whose keys in the target and in the answer it adds there. Part of refresh';
