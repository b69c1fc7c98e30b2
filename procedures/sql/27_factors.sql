-- The factors of recommenders. Version 1 of recommender taste has the tables pgscore.taste_v1_users and _items, a row with a
-- key and the columns f1, f2, … for each user and item, and two functions that read them: score.taste_v1(user, item), and
-- score.taste_v1_top, the best items that a user has not seen, over all items.
--
-- A deploy calls make_factors, add_factors until all are there, and seal_factors; then nobody changes them.
--
-- Rights. Nobody but the owner reads the tables. The functions run as the owner, and their bodies are written here, so a
-- deployer has no say in what they do.
--
-- Numbers. Products are added up from the first factor to the last, as numpy's sum of them in turn. add_factors takes none that a
-- product could take out of the doubles, where PostgreSQL raises.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.make_factors(
    model text, version integer, user_name text, user_type text, item_name text, item_type text, n_factors integer,
    folds_in boolean
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    versioned CONSTANT text := format('%s_v%s', model, version);
    users CONSTANT text := format('pgscore.%I', versioned || '_users');
    items CONSTANT text := format('pgscore.%I', versioned || '_items');
    dot_product text;
    of_user text;
    arguments text;
BEGIN
    PERFORM pgscore.require_begun(model, version);
    IF num_nulls(user_name, user_type, item_name, item_type, n_factors, folds_in) > 0 OR n_factors NOT BETWEEN 1 AND 900
       OR user_type NOT IN ('integer', 'bigint', 'text') OR item_type NOT IN ('integer', 'bigint', 'text') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('version %s of model %s is no factorisation that this database can hold', version, model),
            HINT = 'users and items are integer, bigint or text, and have 1 to 900 factors';
    END IF;
    EXECUTE (
        SELECT string_agg(
            format('CREATE TABLE %s (key %s PRIMARY KEY, %s); COMMENT ON TABLE %1$s IS %L', t.name, t.type, f.columns,
                   format('Factors of the %s of %s version %s', t.side, model, version)), '; ')
        FROM (VALUES (users, user_type, 'users'), (items, item_type, 'items')) AS t (name, type, side)
        CROSS JOIN (
            SELECT string_agg(format('f%s double precision NOT NULL', n), ', ' ORDER BY n) FROM generate_series(1, n_factors) AS n
        ) AS f (columns));
    dot_product := (SELECT string_agg(format('u.f%s * i.f%1$s', n), ' + ' ORDER BY n) FROM generate_series(1, n_factors) AS n);

    EXECUTE format(
        'CREATE FUNCTION score.%I(%I %s, %I %s) RETURNS double precision LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE'
        ' SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        versioned, user_name, user_type, item_name, item_type,
        format(
            $body$
#variable_conflict use_column
DECLARE
    score CONSTANT double precision := (SELECT %1$s FROM %2$s AS u, %3$s AS i WHERE u.key = $1 AND i.key = $2);
BEGIN
    -- A restore fills generated columns, which hold what is given here, in any order.
    IF score IS NULL AND NOT (EXISTS (SELECT FROM %2$s) AND EXISTS (SELECT FROM %3$s)) THEN
        RAISE EXCEPTION USING ERRCODE = 'PS002', MESSAGE = %4$L;
    END IF;
    RETURN score;
END
$body$,
            dot_product, users, items, format('the factors of %s version %s are not there yet', model, version)));
    EXECUTE format(
        'COMMENT ON FUNCTION score.%I(%s, %s) IS %L', versioned, user_type, item_type,
        format('%s v%s: the score of an item for a user; NULL where one is unknown', model, version));

    IF folds_in THEN
        arguments := format('seen %s[], ratings double precision[], n integer', item_type);
        -- Ratings that would overflow leave the user without factors; what would underflow is nothing.
        of_user := format(
            $user$
            SELECT %s
            FROM (
                SELECT %s
                FROM (
                    SELECT i.*, CASE WHEN s.rating IS NULL OR abs(s.rating) < 1e-150 THEN 0
                                     WHEN abs(s.rating) <= 1e50 THEN s.rating END AS rating
                    FROM unnest($1, $2) AS s (key, rating)
                    JOIN %s AS i USING (key)
                    ORDER BY i.key
                ) AS r
                HAVING count(*) > 0 AND count(*) = count(r.rating)
            ) AS e
            OFFSET 0
            $user$,
            (SELECT string_agg(format('CASE WHEN abs(e.f%s) < 1e-150 THEN 0 ELSE e.f%1$s END AS f%1$s', n), ', ' ORDER BY n)
             FROM generate_series(1, n_factors) AS n),
            (SELECT string_agg(format('sum(r.rating * r.f%s) AS f%1$s', n), ', ' ORDER BY n) FROM generate_series(1, n_factors) AS n),
            items);
    ELSE
        arguments := format('"user" %s, seen %s[], n integer', user_type, item_type);
        of_user := format('SELECT * FROM %s AS u WHERE u.key = $1', users);
    END IF;
    EXECUTE format(
        'CREATE FUNCTION score.%I(%s) RETURNS TABLE (item %s, score double precision) LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE'
        ' COST 100000 ROWS 10 SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS %L',
        versioned || '_top', arguments, item_type,
        format(
            $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.key, d.score
    FROM (
        SELECT i.key, %s AS score
        FROM (%s) AS u
        CROSS JOIN %s AS i
        WHERE NOT EXISTS (SELECT FROM unnest($%s) AS s (key) WHERE s.key = i.key)
        OFFSET 0
    ) AS d
    ORDER BY d.score DESC, d.key
    LIMIT $3;
END
$body$,
            dot_product, of_user, items, CASE WHEN folds_in THEN 1 ELSE 2 END));
    EXECUTE format(
        'COMMENT ON FUNCTION score.%I IS %L', versioned || '_top',
        format('%s v%s: the n best items that are not in seen, for %s', model, version,
               CASE WHEN folds_in THEN 'who has given these ratings to what is' ELSE 'a user' END));
    EXECUTE (
        SELECT string_agg(format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f::regprocedure), '; ')
        FROM unnest(pgscore.functions_of(model, version)) AS f);
    PERFORM pgscore.let_call(pgscore.functions_of(model, version), pgscore.callers(model));
END
$function$;
COMMENT ON FUNCTION pgscore.make_factors(text, integer, text, text, text, text, integer, boolean) IS
    'Makes the tables for the factors of a recommender''s version, and score.MODEL_vVERSION and …_top, which read them. With '
    'folds_in a user''s factors are the product of their ratings and the factors of the items. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.add_factors(model text, version integer, side text, keys text[], factors double precision[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place CONSTANT regclass := to_regclass(format('pgscore.%I', format('%s_v%s_%s', model, version, side)));
    key_type CONSTANT text := (SELECT format_type(a.atttypid, NULL) FROM pg_attribute AS a WHERE a.attrelid = place AND a.attnum = 1);
    n_factors CONSTANT integer := (SELECT count(*) - 1 FROM pg_attribute AS a WHERE a.attrelid = place AND a.attnum > 0);
    problem text;
BEGIN
    PERFORM pgscore.require_begun(model, version);
    IF place IS NULL OR side NOT IN ('users', 'items') OR cardinality(factors) <> cardinality(keys) * n_factors
       OR EXISTS (SELECT FROM unnest(factors) AS f WHERE f IS NULL OR NOT abs(f) <= 1e100 OR f <> 0 AND abs(f) < 1e-150) THEN
        problem := format('these are no factors of %s version %s: %s numbers for each key, 0 or from 1e-150 to 1e100 in size',
                          model, version, n_factors);
    ELSE
        BEGIN
            EXECUTE format(
                'INSERT INTO %s SELECT $1[r]::%s, %s FROM generate_series(1, cardinality($1)) AS r', place, key_type,
                (SELECT string_agg(format('$2[(r - 1) * %s + %s]', n_factors, n), ', ' ORDER BY n)
                 FROM generate_series(1, n_factors) AS n))
            USING keys, factors;
        EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
            -- What PostgreSQL says shows the key.
            problem := format('a key of the %s of %s version %s is no %s, or is there twice', side, model, version, key_type);
        END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PS004', MESSAGE = problem, HINT = 'the keys are those of the columns of the table, each once';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.add_factors(text, integer, text, text[], double precision[]) IS
    'Adds factors of users or items (side), one key after the other in one array, to a version that is being deployed. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.factors_sha256(model text, version integer)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place regclass;
    hash bytea;
    hashes bytea := '';
BEGIN
    FOREACH place IN ARRAY ARRAY[
        to_regclass(format('pgscore.%I', format('%s_v%s_users', model, version))),
        to_regclass(format('pgscore.%I', format('%s_v%s_items', model, version)))]
    LOOP
        IF place IS NULL THEN
            RETURN NULL;
        END IF;
        EXECUTE format(
            'SELECT sha256(coalesce(string_agg(sha256(convert_to(t.key::text, ''UTF8'') || array_send(ARRAY[%s])), '''''
            ' ORDER BY t.key::text COLLATE "C"), '''')) FROM %s AS t',
            (SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum)
             FROM pg_attribute AS a WHERE a.attrelid = place AND a.attnum > 1),
            place)
        INTO hash;
        hashes := hashes || hash;
    END LOOP;
    RETURN encode(sha256(hashes), 'hex');
END
$function$;
COMMENT ON FUNCTION pgscore.factors_sha256(text, integer) IS
    'SHA-256 of the factors of a recommender''s version, as they are now; NULL where there are none. Part of deploy and verify';

CREATE OR REPLACE FUNCTION pgscore.seal_factors(model text, version integer)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM pgscore.require_begun(model, version);
    EXECUTE (
        SELECT string_agg(
            format('CREATE TRIGGER factors_are_immutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgscore.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change(); ANALYZE pgscore.%1$I',
                   format('%s_v%s_%s', model, version, side)), '; ')
        FROM unnest(ARRAY['users', 'items']) AS side);
    RETURN pgscore.factors_sha256(model, version);
END
$function$;
COMMENT ON FUNCTION pgscore.seal_factors(text, integer) IS
    'Has the factors of a version refuse every change from now on, and gives their SHA-256. Part of deploy';

CREATE OR REPLACE FUNCTION pgscore.drop_factors()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    EXECUTE (
        SELECT format('DROP TABLE IF EXISTS pgscore.%I, pgscore.%I RESTRICT',
                      format('%s_v%s_users', m.name, OLD.version), format('%s_v%s_items', m.name, OLD.version))
        FROM pgscore.models AS m
        WHERE m.model_id = OLD.model_id);
    RETURN NULL;
END
$function$;
COMMENT ON FUNCTION pgscore.drop_factors() IS 'Trigger: the factors of a recommender''s version go with it';

CREATE OR REPLACE TRIGGER versions_factors_go
    AFTER DELETE ON pgscore.versions
    FOR EACH ROW WHEN (OLD.functions -> 0 ? 'factors') EXECUTE FUNCTION pgscore.drop_factors();
