-- The trigger functions that append to the queues of incremental refresh jobs (30_queues.sql).
--
-- Such a function runs in the transactions of everybody who writes the source, as the owner, and a user can give his
-- table columns of types, casts and operators of his own. So it calls none of them: what it compares by = is of
-- PostgreSQL's own types, which each of its statements checks when it is planned, and so again after the table changed;
-- other columns are compared as bytes (*<>). What it does not know it does not refuse, either: it queues everything, and
-- the run says what is wrong.
--
-- The functions run as the owner. Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.type_when_planned(value anyelement)
RETURNS regtype
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT pg_typeof(value)
$function$;
COMMENT ON FUNCTION pgscore.type_when_planned(anyelement) IS
    'The type of a NULL, such as CASE WHEN false THEN a_column END, where a statement is planned: IMMUTABLE, so that it takes no '
    'time where it runs. A plan is made anew when its tables change. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.make_queue(job text, source regclass, watched regclass[])
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- The caller's may be one that the owner may not use.
SET default_tablespace = ''
AS $function$
DECLARE
    it record;
    queue text;
    keys record;
    wrong record;
    reads text[];
    -- What = compares as a model does, and quicker than the bytes.
    plain text[];
    is_virtual boolean;
    known text;
    columns text;
    asked text;
    compared text;
    pair text;
    differs text;
    joined text;
    updated text;
    -- Of more rows, or of keys that may be long, an array could be too large.
    most CONSTANT integer := 1000000;
    collect text;
    appends text[];
    bulk text;
    alone text;
BEGIN
    SELECT j.*, b.owner, b.model_id INTO STRICT it FROM pgscore.job_of(job) AS j JOIN pgscore.jobs AS b USING (job_id);
    queue := format('pgscore.queue_%s', it.job_id);
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type INTO wrong
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = source AND a.attname = ANY (it.key_columns)
      AND (t.typnamespace <> 'pg_catalog'::regnamespace OR t.typtype <> 'b' OR t.typcategory = 'A' OR a.attgenerated = 'v'
           OR t.typarray = 0
           OR EXISTS (SELECT FROM pg_collation AS c WHERE c.oid = a.attcollation AND NOT c.collisdeterministic))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('mode incremental takes no key like %I of %s, of type %s', wrong.attname, it.source, wrong.type),
            HINT = 'a key is a stored column of a type of PostgreSQL''s own, with its default kind of collation; mode full takes others';
    END IF;
    SELECT
        string_agg(format('k%s %s[]', k.n, format_type(a.atttypid, -1)), ', ' ORDER BY k.n) AS columns,
        string_agg(format('k%s %s', k.n, format_type(a.atttypid, -1)), ', ' ORDER BY k.n) AS scalars,
        string_agg('k' || k.n, ', ' ORDER BY k.n) AS names,
        string_agg(format('array_agg(r.k%s)', k.n), ', ' ORDER BY k.n) AS collected,
        string_agg(format('array_agg(r.k%1$s) AS k%1$s', k.n), ', ' ORDER BY k.n) AS named,
        string_agg('a.k' || k.n, ', ' ORDER BY k.n) AS of_a,
        string_agg(format('a.k%1$s = b.k%1$s', k.n), ' AND ' ORDER BY k.n) AS equal,
        string_agg(format('ARRAY[r.k%s]', k.n), ', ' ORDER BY k.n) AS single,
        string_agg(format('ALTER k%s SET STORAGE EXTERNAL', k.n), ', ' ORDER BY k.n) AS storage,
        string_agg(format('n.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n) AS new,
        string_agg(format('o.%I AS k%s', k.name, k.n), ', ' ORDER BY k.n) AS old,
        string_agg(format('coalesce(n.%1$I, o.%1$I) AS k%2$s', k.name, k.n), ', ' ORDER BY k.n) AS either,
        string_agg(format('n.%1$I = o.%1$I', k.name), ' AND ' ORDER BY k.n) AS same,
        string_agg(format('%I AS k%s', k.name, k.n), ', ' ORDER BY k.n) AS of_row,
        string_agg(format('o.k%1$s = n.k%1$s', k.n), ' AND ' ORDER BY k.n) AS stay,
        string_agg(format('o.k%1$s AS old%1$s, n.k%1$s AS new%1$s', k.n), ', ' ORDER BY k.n) AS of_pair,
        string_agg(format('ARRAY[pair.new%s]', k.n), ', ' ORDER BY k.n) AS new_alone,
        string_agg(format('ARRAY[pair.old%1$s, pair.new%1$s]', k.n), ', ' ORDER BY k.n) AS both,
        string_agg(format('n.%1$I IS DISTINCT FROM o.%1$I', k.name), ' OR ' ORDER BY k.n) AS differ,
        bool_and(a.attlen > 0) AS fixed
    INTO keys
    FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n)
    JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = k.name;
    IF to_regclass(queue) IS NULL THEN
        -- Rows come in bulk and go in bulk: the pages are empty again when a vacuum has been. Keys hardly compress.
        EXECUTE format(
            'CREATE TABLE %s (everything boolean, changes integer NOT NULL DEFAULT 1, %s) WITH ('
            'autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, '
            'autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1, '
            'autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000000)',
            queue, keys.columns);
        EXECUTE format('ALTER TABLE %s %s', queue, keys.storage);
        EXECUTE format('COMMENT ON TABLE %s IS %L', queue, format('Changed keys of refresh job %s', job));
        IF (SELECT q.changes = 'hash' FROM pgscore.queues AS q WHERE q.job_id = it.job_id) THEN
            EXECUTE format(
                'CREATE TABLE pgscore.hashes_%s (%s, hash bigint NOT NULL, PRIMARY KEY (%s))',
                it.job_id, keys.scalars, keys.names);
            EXECUTE format(
                'COMMENT ON TABLE pgscore.hashes_%s IS %L', it.job_id, format('Hashes of what refresh job %s scored', job));
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON pgscore.hashes_%s TO %I', it.job_id, it.owner);
        END IF;
    END IF;

    -- Of all versions, as any of them may be promoted; none is ever forgotten.
    SELECT array_agg(DISTINCT c.name ORDER BY c.name) INTO reads
    FROM (
        SELECT p."column"
        FROM pgscore.versions AS v
        CROSS JOIN LATERAL jsonb_to_recordset(v.parameters) AS p ("column" text)
        WHERE v.model_id = it.model_id
        UNION
        SELECT v.functions -> 0 -> 'factors' ->> 'rating' FROM pgscore.versions AS v WHERE v.model_id = it.model_id
        UNION
        SELECT unnest(q.watched_columns) FROM pgscore.queues AS q WHERE q.job_id = it.job_id
        UNION
        SELECT unnest(f.carried) FROM pgscore.target_forms AS f WHERE f.job_id = it.job_id
    ) AS c (name)
    JOIN pg_attribute AS a
        ON a.attrelid = source AND a.attname = c.name AND a.attnum > 0 AND NOT a.attisdropped;
    reads := coalesce(reads, '{}');
    UPDATE pgscore.queues AS q
    SET watched = make_queue.watched, watched_columns = reads, scored_with = NULL
    WHERE q.job_id = it.job_id;
    PERFORM pgscore.queue_everything(job);
    IF make_queue.watched = '{}' THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(a.attname::text), '{}') INTO plain
    FROM pg_attribute AS a
    LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
    WHERE a.attrelid = source AND a.attname = ANY (reads)
      AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype,
                         'numeric'::regtype, 'bool'::regtype, 'text'::regtype, 'varchar'::regtype)
      AND coalesce(c.collisdeterministic, true);
    SELECT coalesce(bool_or(a.attgenerated = 'v'), false) INTO is_virtual
    FROM pg_attribute AS a
    WHERE a.attrelid = source AND a.attname = ANY (reads);

    -- Whether = is of the types that it was; PostgreSQL refuses a statement that asks for a column that is gone.
    SELECT
        concat(
            'ARRAY[',
            string_agg(format('pgscore.type_when_planned(CASE WHEN false THEN %I END)', a.attname), ', ' ORDER BY a.attnum)
                FILTER (WHERE a.attname = ANY (it.key_columns || plain)),
            '] = ',
            quote_literal(array_agg(a.atttypid::regtype ORDER BY a.attnum) FILTER (WHERE a.attname = ANY (it.key_columns || plain))),
            '::regtype[]'),
        string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
    INTO known, columns
    FROM pg_attribute AS a
    WHERE a.attrelid = source AND a.attname = ANY (it.key_columns || reads) AND a.attgenerated <> 'v';
    asked := concat(
        'SELECT bool_and(r.safe), count(*) INTO safe, n_rows FROM (SELECT ', known, ' AND num_nulls(', columns, ') >= 0 AS safe FROM');

    IF is_virtual THEN
        -- A transition table has no virtual columns: all rows that a statement wrote may have changed.
        updated := format('SELECT %s FROM pgscore_old AS o UNION ALL SELECT %s FROM pgscore_new AS n', keys.old, keys.new);
    ELSE
        joined := format('pgscore_old AS o FULL JOIN pgscore_new AS n ON %s', keys.same);
        -- The casts to record: a comparison of mere rows would look for an operator of each column.
        SELECT concat_ws(
            ' OR ',
            string_agg(format('o.%1$I IS DISTINCT FROM n.%1$I', c.name), ' OR ') FILTER (WHERE c.name = ANY (plain)),
            keys.differ,
            CASE WHEN bool_or(c.name <> ALL (plain)) THEN format(
                'ROW(%s)::record *<> ROW(%s)::record',
                string_agg(format('o.%I', c.name), ', ' ORDER BY c.n) FILTER (WHERE c.name <> ALL (plain)),
                string_agg(format('n.%I', c.name), ', ' ORDER BY c.n) FILTER (WHERE c.name <> ALL (plain))) END)
        INTO differs
        FROM unnest(reads) WITH ORDINALITY AS c (name, n);
        updated := format('SELECT %s FROM %s WHERE %s', keys.either, joined, differs);
    END IF;
    collect := format('INSERT INTO %s (changes, %s) SELECT count(*), %s FROM (', queue, keys.names, keys.collected);
    SELECT array_agg(
        CASE WHEN keys.fixed THEN format(
            $append$%1$s%2$s LIMIT %3$s) AS r HAVING count(*) > 0
        RETURNING changes INTO queued;
        IF queued = %3$s THEN
            -- There may be more.
            %4$s
        END IF;$append$, collect, c.rows, most, apart.statement)
        ELSE apart.statement END
        ORDER BY c.n)
    INTO appends
    FROM unnest(ARRAY[
        format('SELECT %s FROM pgscore_new AS n', keys.new), format('SELECT %s FROM pgscore_old AS o', keys.old), updated
    ]) WITH ORDINALITY AS c (rows, n)
    CROSS JOIN LATERAL (
        SELECT format('INSERT INTO %s (%s) SELECT %s FROM (%s) AS r;', queue, keys.names, keys.single, c.rows)
    ) AS apart (statement);
    IF joined IS NOT NULL AND keys.fixed AND plain <> '{}' THEN
        -- To join old and new rows is most of the work, and a bulk update mostly changes one column in all rows. Where the
        -- first rows say so, all keys are queued, and no row is compared: one too many costs the run, which finds its
        -- score as it was, and not the writer. Unless the keys themselves changed: the old ones count then, too.
        bulk := format(
            $bulk$
        IF n_rows = 1000 AND (
            SELECT %1$s FROM (SELECT * FROM pgscore_old LIMIT 100) AS o JOIN (SELECT * FROM pgscore_new LIMIT 100) AS n ON %2$s
        ) THEN
            INSERT INTO %3$s (changes, %4$s)
            SELECT a.changes, %5$s
            FROM (SELECT count(*) AS changes, %6$s FROM (SELECT %7$s FROM pgscore_new AS n LIMIT %8$s) AS r) AS a
            CROSS JOIN (SELECT %6$s FROM (SELECT %9$s FROM pgscore_old AS o LIMIT %8$s) AS r) AS b
            WHERE a.changes < %8$s AND %10$s;
            IF FOUND THEN
                RETURN NULL;
            END IF;
        END IF;$bulk$,
            (SELECT string_agg(format('bool_and(o.%1$I IS DISTINCT FROM n.%1$I)', c), ' OR ') FROM unnest(plain) AS c),
            keys.same, queue, keys.names, keys.of_a, keys.named, keys.new, most, keys.old, keys.equal);
    END IF;
    IF joined IS NOT NULL THEN
        -- Columns of one type are compared as an array, which is begun sooner; the collations are deterministic ones.
        SELECT
            concat_ws(', ', keys.of_row, string_agg(format('CASE WHEN %s THEN %s END AS v%s', known, v.value, v.n), ', ')),
            coalesce(string_agg(format('o.v%1$s %2$s n.v%1$s', v.n, v.differs), ' OR '), 'false')
        INTO compared, differs
        FROM (
            SELECT
                row_number() OVER () AS n,
                CASE
                    WHEN bool_or(c.name <> ALL (plain)) THEN format('ROW(%s)::record', string_agg(quote_ident(c.name), ', '))
                    ELSE format(
                        CASE count(*) WHEN 1 THEN '%s' ELSE 'ARRAY[%s]' END,
                        string_agg(quote_ident(c.name) || CASE WHEN a.attcollation <> 0 THEN ' COLLATE "C"' ELSE '' END, ', '))
                END AS value,
                CASE WHEN bool_or(c.name <> ALL (plain)) THEN '*<>' ELSE 'IS DISTINCT FROM' END AS differs
            FROM unnest(reads) AS c (name)
            JOIN pg_attribute AS a ON a.attrelid = source AND a.attname = c.name
            GROUP BY CASE WHEN c.name = ANY (plain) THEN a.atttypid END
        ) AS v;
        -- One row, as most statements have, is compared by itself: a join by hash takes longer to begin. Values of a type
        -- that is not known are not looked at.
        pair := concat(
            $pair$
        IF TG_OP = 'UPDATE' THEN
            SELECT o.safe, (SELECT true FROM pgscore_old OFFSET 1 LIMIT 1) AS others, CASE WHEN o.safe THEN $pair$, keys.stay, ' END AS stays, ',
            differs, ' AS differs, ', keys.of_pair, ' INTO pair FROM (SELECT ', compared, ', ', known,
            ' AS safe FROM pgscore_old OFFSET 0) AS o CROSS JOIN (SELECT ', compared, $pair$ FROM pgscore_new OFFSET 0) AS n LIMIT 1;
            is_alone := coalesce(pair.safe AND pair.others IS NULL, false);
        END IF;$pair$);
        alone := format(
            $alone$
    IF is_alone THEN
        IF pair.stays IS NOT TRUE THEN
            INSERT INTO %1$s (changes, %2$s) VALUES (2, %3$s);
        ELSIF pair.differs THEN
            INSERT INTO %1$s (changes, %2$s) VALUES (1, %4$s);
        END IF;
        RETURN NULL;
    END IF;$alone$,
            queue, keys.names, keys.both, keys.new_alone);
    END IF;
    -- The plans are kept, whatever the size of the first statement: never a nested loop, which a large one would not survive;
    -- and no sort, as nothing is known of the keys.
    -- The memory holds the rows of a large one, which else go to files and cost writers half as much again.
    EXECUTE format(
        $make$
CREATE OR REPLACE FUNCTION pgscore.%1$I()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_mergejoin = off
SET work_mem = '64MB'
SET jit = off
AS %2$L$make$,
        format('queue_changes_%s', it.job_id),
        format(
            $body$
#variable_conflict use_column
DECLARE
    pair record;
    is_alone boolean := false;
    safe boolean := false;
    n_rows bigint;
    queued bigint;
BEGIN
    BEGIN%1$s
        IF TG_OP = 'INSERT' THEN
            %2$s pgscore_new LIMIT 1000) AS r;
        ELSIF TG_OP <> 'TRUNCATE' AND NOT is_alone THEN
            %2$s pgscore_old LIMIT 1000) AS r;
        END IF;
    EXCEPTION WHEN syntax_error_or_access_rule_violation OR internal_error THEN
        -- A column is gone, or of another type, or virtual: transition tables have none.
        IF TG_OP = 'INSERT' THEN
            SELECT false INTO safe FROM pgscore_new LIMIT 1;
        ELSE
            SELECT false INTO safe FROM pgscore_old LIMIT 1;
        END IF;
    END;%3$s
    IF safe IS NULL THEN
        -- There are no rows.
        RETURN NULL;
    ELSIF NOT safe THEN
        INSERT INTO %4$s (everything) VALUES (true);
    ELSIF TG_OP = 'INSERT' THEN
        %5$s
    ELSIF TG_OP = 'DELETE' THEN
        %6$s
    ELSE%7$s
        %8$s
    END IF;
    RETURN NULL;
END
$body$,
            pair, asked, alone, queue, appends[1], appends[2], bulk, appends[3]));
    EXECUTE format(
        'COMMENT ON FUNCTION pgscore.%I() IS %L',
        format('queue_changes_%s', it.job_id), format('Trigger: queues changed keys for refresh job %s', job));
    EXECUTE format('REVOKE ALL ON FUNCTION pgscore.%I() FROM PUBLIC', format('queue_changes_%s', it.job_id));
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgscore.%I() TO %I', format('queue_changes_%s', it.job_id), it.owner);
END
$function$;
COMMENT ON FUNCTION pgscore.make_queue(text, regclass, regclass[]) IS
    'Makes the queue of an incremental job and, where relations are watched, its trigger function, or the function anew. Part '
    'of refresh';
