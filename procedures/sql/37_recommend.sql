-- Recommendations from the factors of users and items, which a matrix factorisation learned:
--
--   CALL pgscore.recommend('user_factors', 'item_factors', 'ratings', 'public.recommendations', 10);
--   SELECT item_id FROM recommendations WHERE user_id = 7 ORDER BY rank;
--
-- The score of an item for a user is the dot product of their factors. Users × items is never stored: the best items of a
-- user are found by going once through the items, and kept.
--
-- A run ranks anew the users whose inputs changed: their factors, the set of items that they have seen, or any item's
-- factors. It knows by a hash of these, beside the target. Everything is done as the caller, in one transaction.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.check_recommend(users regclass, items regclass, seen regclass, keys text[], top integer)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    wrong record;
BEGIN
    IF cardinality(keys) IS DISTINCT FROM 2 OR array_position(keys, NULL) IS NOT NULL OR keys[1] = keys[2] OR top IS NULL OR top < 1
       OR keys && ARRAY['rank', 'score', 'scored_at', 'inputs'] THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = 'recommend takes the names of two columns, the user''s and the item''s, and at least 1 item for each user',
            HINT = 'such as keys => ''{user_id,item_id}'', top => 10; rank, score, scored_at and inputs are names of its own';
    END IF;
    SELECT w.source, w.name, w.type INTO wrong
    FROM (VALUES
        (users, keys[1], NULL), (users, 'factors', 'double precision[]'),
        (items, keys[2], NULL), (items, 'factors', 'double precision[]'),
        (seen, keys[1], NULL), (seen, keys[2], NULL)
    ) AS w (source, name, type)
    LEFT JOIN pg_attribute AS a
        ON a.attrelid = w.source AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attname IS NULL OR w.type <> format_type(a.atttypid, NULL)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s has no column %I%s', wrong.source, wrong.name, coalesce(' of type ' || wrong.type, '')),
            HINT = 'a view can give columns other names and types';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.check_recommend(regclass, regclass, regclass, text[], integer) IS
    'Raises unless the relations have the columns that recommend reads. Part of recommend';

CREATE OR REPLACE FUNCTION pgscore.rank_items(n_factors integer, top integer)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    EXECUTE format(
        $rank$
        CREATE TEMPORARY TABLE pgscore_ranked ON COMMIT DROP AS
        SELECT u.k1, best.k2, (row_number() OVER (PARTITION BY u.k1 ORDER BY best.score DESC, best.k2))::integer AS rank, best.score
        FROM pg_temp.pgscore_users AS u
        CROSS JOIN LATERAL (
            SELECT d.k2, d.score
            FROM (
                SELECT i.k2, %s AS score
                FROM pg_temp.pgscore_items AS i
                WHERE NOT EXISTS (SELECT FROM unnest(u.seen) AS s (k2) WHERE s.k2 = i.k2)
                OFFSET 0
            ) AS d
            WHERE d.score <> 'NaN'
            ORDER BY d.score DESC, d.k2
            LIMIT %s
        ) AS best
        $rank$,
        (SELECT string_agg(format('u.f%s * i.f%1$s', n), ' + ' ORDER BY n) FROM generate_series(1, n_factors) AS n),
        top);
END
$function$;
COMMENT ON FUNCTION pgscore.rank_items(integer, integer) IS
    'Makes the temporary table pgscore_ranked: the best unseen items of each of pgscore_users. The products are added up from '
    'the first factor to the last; equal scores go by the item''s key. Part of recommend';

CREATE OR REPLACE PROCEDURE pgscore.recommend(
    users regclass, items regclass, seen regclass, target text, top integer, keys text[] DEFAULT '{user_id,item_id}',
    INOUT users_known bigint DEFAULT NULL,
    INOUT users_ranked bigint DEFAULT NULL,
    INOUT rows_inserted bigint DEFAULT NULL,
    INOUT rows_updated bigint DEFAULT NULL,
    INOUT rows_deleted bigint DEFAULT NULL
)
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $procedure$
DECLARE
    place text[];
    into_table text;
    inputs_table text;
    type_of_user text;
    type_of_item text;
    n_factors integer;
    shortest integer;
    hash_of_items bytea;
    expanded text;
BEGIN
    PERFORM pgscore.check_recommend(users, items, seen, keys, top);
    place := parse_ident(target);
    IF cardinality(place) <> 2 OR octet_length(place[2] || '_inputs') > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a target', target),
            HINT = 'write schema.table, such as public.recommendations; with _inputs behind it, at most 63 bytes';
    END IF;
    into_table := format('%I.%I', place[1], place[2]);
    inputs_table := format('%I.%I', place[1], place[2] || '_inputs');
    IF NOT pg_try_advisory_xact_lock(hashtext('pgscore.recommend'), hashtext(into_table)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002', MESSAGE = format('%s is being refreshed already', into_table), HINT = 'wait for it to end';
    END IF;
    SELECT format_type(u.atttypid, u.atttypmod), format_type(i.atttypid, i.atttypmod) INTO STRICT type_of_user, type_of_item
    FROM pg_attribute AS u, pg_attribute AS i
    WHERE u.attrelid = users AND u.attname = keys[1] AND i.attrelid = items AND i.attname = keys[2];
    IF to_regclass(inputs_table) IS NULL THEN
        EXECUTE format('CREATE TABLE %s (%I %s PRIMARY KEY, inputs bytea NOT NULL)', inputs_table, keys[1], type_of_user);
        EXECUTE format('COMMENT ON TABLE %s IS %L', inputs_table, format('Hashes of what %s was made of', into_table));
    END IF;
    IF to_regclass(into_table) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %1$s (%2$I %4$s NOT NULL, %3$I %5$s NOT NULL, rank integer NOT NULL, score double precision NOT NULL,'
            ' scored_at timestamptz NOT NULL, PRIMARY KEY (%2$I, %3$I))',
            into_table, keys[1], keys[2], type_of_user, type_of_item);
        EXECUTE format('COMMENT ON TABLE %s IS %L', into_table, format('The best items of %s for each of %s', items, users));
        EXECUTE format('DELETE FROM %s', inputs_table);
    END IF;

    -- Items in columns: an array would be taken apart for each user.
    DROP TABLE IF EXISTS pg_temp.pgscore_items, pg_temp.pgscore_users, pg_temp.pgscore_ranked, pg_temp.pgscore_inputs;
    EXECUTE format(
        'SELECT max(cardinality(f.factors)), min(cardinality(f.factors))'
        ' FROM (SELECT factors FROM %s UNION ALL SELECT factors FROM %s) AS f', users, items)
    INTO n_factors, shortest;
    IF n_factors IS DISTINCT FROM shortest OR coalesce(n_factors, 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('the factors of %s and %s are not all of one length, from 1 to 1000', users, items),
            HINT = 'take both from one factorisation';
    END IF;
    expanded := (SELECT string_agg(format('r.factors[%s] AS f%1$s', n), ', ' ORDER BY n) FROM generate_series(1, n_factors) AS n);
    EXECUTE format('CREATE TEMPORARY TABLE pgscore_items ON COMMIT DROP AS SELECT r.%I AS k2, r.factors, %s FROM %s AS r',
                   keys[2], expanded, items);
    EXECUTE 'SELECT sha256(string_agg(sha256(convert_to(i.k2::text, ''UTF8'') || array_send(i.factors)), '''' ORDER BY i.k2))'
            ' FROM pg_temp.pgscore_items AS i'
    INTO hash_of_items;

    -- One statement reads users and seen, so what is hashed is what is ranked.
    EXECUTE format(
        $users$
        CREATE TEMPORARY TABLE pgscore_inputs ON COMMIT DROP AS
        SELECT r.%1$I AS k1, r.factors, s.seen,
               sha256(%2$L::bytea || array_send(r.factors) || coalesce(array_send(s.seen), '') || int4send(%3$s)) AS inputs
        FROM %4$s AS r
        LEFT JOIN (
            SELECT x.%1$I AS k1, array_agg(DISTINCT x.%5$I ORDER BY x.%5$I) AS seen FROM %6$s AS x GROUP BY x.%1$I
        ) AS s ON s.k1 = r.%1$I
        $users$, keys[1], hash_of_items, top, users, keys[2], seen);
    GET DIAGNOSTICS users_known = ROW_COUNT;
    BEGIN
        ALTER TABLE pg_temp.pgscore_inputs ADD PRIMARY KEY (k1);
        ALTER TABLE pg_temp.pgscore_items ADD PRIMARY KEY (k2);
    EXCEPTION WHEN unique_violation OR not_null_violation THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%I of %s or %I of %s is not unique, or NULL in some rows', keys[1], users, keys[2], items);
    END;
    EXECUTE format(
        'CREATE TEMPORARY TABLE pgscore_users ON COMMIT DROP AS SELECT r.k1, r.seen, %s FROM pg_temp.pgscore_inputs AS r'
        ' LEFT JOIN %s AS t ON t.%I = r.k1 WHERE t.inputs IS DISTINCT FROM r.inputs', expanded, inputs_table, keys[1]);
    GET DIAGNOSTICS users_ranked = ROW_COUNT;
    ANALYZE pg_temp.pgscore_items, pg_temp.pgscore_users;
    PERFORM pgscore.rank_items(n_factors, top);
    ALTER TABLE pg_temp.pgscore_ranked ADD PRIMARY KEY (k1, k2);

    EXECUTE format(
        'DELETE FROM %1$s AS t WHERE (t.%2$I IN (SELECT u.k1 FROM pg_temp.pgscore_users AS u)'
        ' OR NOT EXISTS (SELECT FROM pg_temp.pgscore_inputs AS i WHERE i.k1 = t.%2$I))'
        ' AND NOT EXISTS (SELECT FROM pg_temp.pgscore_ranked AS s WHERE s.k1 = t.%2$I AND s.k2 = t.%3$I)',
        into_table, keys[1], keys[2]);
    GET DIAGNOSTICS rows_deleted = ROW_COUNT;
    EXECUTE format(
        'UPDATE %1$s AS t SET rank = s.rank, score = s.score, scored_at = now() FROM pg_temp.pgscore_ranked AS s'
        ' WHERE s.k1 = t.%2$I AND s.k2 = t.%3$I AND (t.rank, t.score) IS DISTINCT FROM (s.rank, s.score)',
        into_table, keys[1], keys[2]);
    GET DIAGNOSTICS rows_updated = ROW_COUNT;
    EXECUTE format(
        'INSERT INTO %1$s (%2$I, %3$I, rank, score, scored_at) SELECT s.k1, s.k2, s.rank, s.score, now()'
        ' FROM pg_temp.pgscore_ranked AS s'
        ' WHERE NOT EXISTS (SELECT FROM %1$s AS t WHERE s.k1 = t.%2$I AND s.k2 = t.%3$I)',
        into_table, keys[1], keys[2]);
    GET DIAGNOSTICS rows_inserted = ROW_COUNT;
    EXECUTE format(
        'DELETE FROM %s AS t WHERE NOT EXISTS (SELECT FROM pg_temp.pgscore_inputs AS i WHERE i.k1 = t.%I)', inputs_table, keys[1]);
    EXECUTE format(
        'INSERT INTO %1$s (%2$I, inputs) SELECT i.k1, i.inputs FROM pg_temp.pgscore_inputs AS i'
        ' WHERE i.k1 IN (SELECT u.k1 FROM pg_temp.pgscore_users AS u)'
        ' ON CONFLICT (%2$I) DO UPDATE SET inputs = excluded.inputs',
        inputs_table, keys[1]);
    DROP TABLE pg_temp.pgscore_items, pg_temp.pgscore_users, pg_temp.pgscore_ranked, pg_temp.pgscore_inputs;
END
$procedure$;
COMMENT ON PROCEDURE pgscore.recommend(
    regclass, regclass, regclass, text, integer, text[], bigint, bigint, bigint, bigint, bigint) IS
    'Keeps in target (schema.table) the best top items that each user has not seen, by the dot product of the column factors of '
    'users and items. Ranks anew the users whose inputs changed since the last run (docs/recommendations.md)';
