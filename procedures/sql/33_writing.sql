-- How a run writes what it scored: pg_temp.pgscore_scored, with the keys as k1, k2, …
--
-- names are columns of the target, written SQL of each for the row s of scored; the first n_keys are the key.
--
-- All of it runs as the caller of refresh.

CREATE OR REPLACE FUNCTION pgscore.key_scored(
    job text, source regclass, key_columns text[], scored text DEFAULT 'pg_temp.pgscore_scored', columns text[] DEFAULT NULL,
    required text[] DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    without_value name;
BEGIN
    -- One statement, which looks at all rows once.
    EXECUTE format(
        'ALTER TABLE %s %sADD PRIMARY KEY (%s)', scored,
        (SELECT string_agg(format('ALTER COLUMN %I SET NOT NULL, ', r), '') FROM unnest(required) AS r),
        (SELECT string_agg(coalesce(quote_ident(columns[n]), 'k' || n), ', ' ORDER BY n)
         FROM generate_series(1, cardinality(key_columns)) AS n));
EXCEPTION WHEN unique_violation OR not_null_violation THEN
    GET STACKED DIAGNOSTICS without_value = COLUMN_NAME;
    IF without_value = ANY (required) THEN
        RAISE;
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'PS002',
        MESSAGE = format('the key (%s) of %s %s',
                         (SELECT string_agg(quote_ident(k), ', ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u (k, n)),
                         source, CASE SQLSTATE WHEN '23505' THEN 'is not unique' ELSE 'is NULL in some rows' END),
        HINT = format('refresh job %s needs columns that identify a row', job);
END
$function$;
COMMENT ON FUNCTION pgscore.key_scored(text, regclass, text[], text, text[], text[]) IS
    'Gives the table of what is scored its primary key, k1, k2, … or columns, and makes the columns required NOT NULL; raises '
    'where the key columns of the source are none. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.write_difference(
    target regclass, n_keys integer, names text[], written text[], is_partial boolean, keeps_vanished boolean,
    scored text DEFAULT 'pg_temp.pgscore_scored',
    OUT inserted bigint, OUT updated bigint, OUT deleted bigint
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    same_key text;
    changes text;
    differs text;
    is_empty boolean;
    n_scored bigint;
    n_changed bigint;
    gone text;
BEGIN
    SELECT
        string_agg(format('t.%I = %s', c.name, c.value), ' AND ' ORDER BY c.n) FILTER (WHERE c.n <= n_keys),
        string_agg(format('%I = %s', c.name, c.value), ', ' ORDER BY c.n) FILTER (WHERE c.n > n_keys),
        string_agg(format('t.%I IS DISTINCT FROM %s', c.name, c.value), ' OR ' ORDER BY c.n) FILTER (WHERE c.n > n_keys)
    INTO same_key, changes, differs
    FROM unnest(names, written) WITH ORDINALITY AS c (name, value, n);
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', target) INTO is_empty;
    -- A search in the target is left out where the counts say that it finds nothing: all that is scored is among the changed.
    EXECUTE format('SELECT count(*) FROM %s', scored) INTO n_scored;
    IF is_partial THEN
        SELECT count(*) INTO n_changed FROM pg_temp.pgscore_changed;
    END IF;
    inserted := 0;
    updated := 0;
    deleted := 0;
    IF NOT is_empty AND n_changed IS DISTINCT FROM n_scored THEN
        gone := CASE
            WHEN is_partial THEN format(
                '%s AND NOT EXISTS (SELECT FROM %s AS o WHERE (%s) = (%s))',
                same_key, scored, array_to_string(written[:n_keys], ', '), replace(array_to_string(written[:n_keys], ', '), 's.', 'o.'))
            ELSE format('NOT EXISTS (SELECT FROM %s AS s WHERE %s)', scored, same_key)
        END;
        IF keeps_vanished THEN
            EXECUTE format(
                'UPDATE %s AS t SET vanished_at = now() %s WHERE t.vanished_at IS NULL AND %s',
                target, CASE WHEN is_partial THEN 'FROM pg_temp.pgscore_changed AS s' END, gone);
        ELSE
            EXECUTE format(
                'DELETE FROM %s AS t %s WHERE %s',
                target, CASE WHEN is_partial THEN 'USING pg_temp.pgscore_changed AS s' END, gone);
        END IF;
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
    IF NOT is_empty THEN
        EXECUTE format(
            'UPDATE %s AS t SET %s, scored_at = now() FROM %s AS s WHERE %s AND (%s)',
            target, changes, scored, same_key, differs);
        GET DIAGNOSTICS updated = ROW_COUNT;
    END IF;
    IF updated < n_scored THEN
        EXECUTE format(
            'INSERT INTO %s (%s, scored_at) SELECT %s, now() FROM %s AS s %s',
            target, (SELECT string_agg(quote_ident(c.name), ', ' ORDER BY c.n) FROM unnest(names) WITH ORDINALITY AS c (name, n)),
            array_to_string(written, ', '), scored,
            CASE WHEN NOT is_empty THEN format('WHERE NOT EXISTS (SELECT FROM %s AS t WHERE %s)', target, same_key) END);
        GET DIAGNOSTICS inserted = ROW_COUNT;
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.write_difference(regclass, integer, text[], text[], boolean, boolean, text) IS
    'Writes what is scored, where it differs, into the target, and deletes the keys that the source has no more, or '
    'marks them in vanished_at: of all rows, or of those with a key in the temporary table pgscore_changed. Part of refresh';
