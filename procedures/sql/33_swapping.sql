-- Building beside and swapping: where a full run changes much, the new rows become a table of their own, which takes the
-- place of the old rows in one short transaction.
--
-- The target is a partitioned table with one partition, the default one. Its own oid stays, and with it grants, comments,
-- views, policies and the definitions of indexes; a swap drops the partition and attaches another. A default partition
-- without siblings has no constraint, so nothing is scanned.
--
-- A transaction whose snapshot is older than the rows of the new partition would find it empty: no state that ever was.
-- So pgscore.run_job builds in one transaction and swaps in another one, when all that began before the first has
-- committed are gone; they are waited for as long as for a lock. Where that, or a swap at all, cannot be had,
-- the difference is written, and the run says why.
--
-- All of it runs as the caller of refresh.

CREATE OR REPLACE FUNCTION pgscore.drop_build(job text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    build record;
BEGIN
    SELECT b.* INTO build FROM pgscore.build_of(job) AS b;
    IF FOUND THEN
        -- Of a job that several roles run, one may not be allowed to: the next that is does it.
        IF NOT pg_has_role(pgscore.owner_of(job), 'USAGE') THEN
            RETURN;
        END IF;
        EXECUTE format('DROP TABLE %s', build.relation);
    END IF;
    PERFORM pgscore.forget_build(job);
END
$function$;
COMMENT ON FUNCTION pgscore.drop_build(text) IS
    'Drops the table that a run of a job built and did not come to swap in. Part of refresh and drop_refresh';

CREATE OR REPLACE FUNCTION pgscore.built_columns(target regclass, names text[], written text[], scored_at text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT string_agg(
        format('(%s)::%s%s AS %I', c.value, format_type(a.atttypid, a.atttypmod),
               ' COLLATE ' || nullif(a.attcollation, 0)::regcollation, c.name),
        ', ' ORDER BY a.attnum)
    FROM unnest(names || 'scored_at'::text, written || scored_at) AS c (name, value)
    JOIN pg_attribute AS a ON a.attrelid = target AND a.attname = c.name
$function$;
COMMENT ON FUNCTION pgscore.built_columns(regclass, text[], text[], text) IS
    'What is selected of rows s that are scored, to be the columns of a target in their order. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.create_build(target regclass, relation text, query text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET default_tablespace = ''
AS $function$
DECLARE
    part record;
    rows bigint;
BEGIN
    SELECT c.reloptions, c.relam, s.spcname INTO STRICT part
    FROM pg_class AS c
    LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace
    WHERE c.oid = pgscore.part_of(target);
    EXECUTE format(
        'CREATE TABLE %s%s%s%s AS %s',
        relation, ' USING ' || (SELECT quote_ident(m.amname) FROM pg_am AS m WHERE m.oid = part.relam),
        ' WITH (' || array_to_string(part.reloptions, ', ') || ')', ' TABLESPACE ' || quote_ident(part.spcname), query);
    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN rows;
END
$function$;
COMMENT ON FUNCTION pgscore.create_build(regclass, text, text) IS
    'Makes the table that is to become the partition of a target, stored as the one that is there, of a query; gives how '
    'many rows it has. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.finish_build(
    job text, source regclass, target regclass, key_columns text[], called record, failed text, build pgscore.builds
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET default_tablespace = ''
AS $function$
DECLARE
    index record;
    k text;
    keys text;
BEGIN
    SELECT string_agg('k' || u.n, ', ' ORDER BY u.n), string_agg(format('b.%I AS k%s', u.name, u.n), ', ' ORDER BY u.n)
    INTO k, keys
    FROM unnest(key_columns) WITH ORDINALITY AS u (name, n);
    build.indexes := pgscore.indexes_of(target);
    PERFORM pgscore.key_scored(
        job, source, key_columns, build.relation, key_columns,
        ARRAY(
            SELECT a.attname::text
            FROM pg_attribute AS a
            WHERE a.attrelid = target AND a.attnum > 0 AND a.attnotnull AND a.attname <> ALL (key_columns)));
    FOR index IN
        SELECT i.indexrelid, c.oid AS constraint_oid
        FROM pg_index AS i
        LEFT JOIN pg_constraint AS c ON c.conindid = i.indexrelid AND c.conrelid = target
        WHERE i.indrelid = target AND NOT i.indisprimary
    LOOP
        EXECUTE CASE
            WHEN index.constraint_oid IS NOT NULL
                THEN format('ALTER TABLE %s ADD %s', build.relation, pg_get_constraintdef(index.constraint_oid))
            ELSE format(
                'CREATE %sINDEX ON %s %s',
                CASE WHEN (SELECT i.indisunique FROM pg_index AS i WHERE i.indexrelid = index.indexrelid) THEN 'UNIQUE ' ELSE '' END,
                build.relation,
                substr(pg_get_indexdef(index.indexrelid), length(pgscore.index_prefix(index.indexrelid)) + 1))
        END;
    END LOOP;
    IF build.rows_scored IS NULL THEN
        build.rows_scored := build.rows_built;
        EXECUTE format('SELECT count(*) FROM %s AS s WHERE s.score IS NULL', build.relation) INTO build.rows_refused;
        build.rejected := pgscore.rejected_now(
            job, source, key_columns, called,
            CASE
                WHEN failed IS NULL THEN format('(SELECT %s, b.score, NULL::text AS reason FROM %s AS b)', keys, build.relation)
                ELSE format(
                    '(SELECT b.*, f.reason FROM (SELECT %s, b.score FROM %s AS b) AS b LEFT JOIN %s AS f USING (%s))',
                    keys, build.relation, failed, k)
            END,
            's.score', false, build.rows_refused);
    END IF;
    EXECUTE format('ANALYZE %s', build.relation);
    IF called.kind = 'clusterer' THEN
        build.segments := pgscore.count_segments(
            target, key_columns, format('(SELECT %s, b.score FROM %s AS b)', keys, build.relation), 's.score', build.version::text);
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', build.relation, format('The rows of %s', target));
    EXECUTE (
        SELECT format('ALTER TABLE %s OWNER TO %I', build.relation, r.rolname)
        FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
        WHERE c.oid = target);
    build.is_open := false;
    PERFORM pgscore.forget_build(job);
    PERFORM pgscore.record_build(job, build);
END
$function$;
COMMENT ON FUNCTION pgscore.finish_build(text, regclass, regclass, text[], record, text, pgscore.builds) IS
    'Gives a table of create_build, when all rows are in it, the key and the indexes of the target. failed is a relation of the keys k1, k2, … '
    'whose scoring failed, with the reason; NULL: none did. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.build_beside(
    job text, source regclass, target regclass, key_columns text[], called record, written text[], scored text,
    build pgscore.builds
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    build.relation := pgscore.free_part(target::text);
    build.rows_built := pgscore.create_build(
        target, build.relation,
        format('SELECT %s FROM %s AS s', pgscore.built_columns(target, build.names, written, 'now()'), scored));
    PERFORM pgscore.finish_build(job, source, target, key_columns, called, NULL, build);
END
$function$;
COMMENT ON FUNCTION pgscore.build_beside(text, regclass, regclass, text[], record, text[], text, pgscore.builds) IS
    'Builds the table that is to become the partition of a target, with all its indexes, from scored, a table or a '
    'query in brackets. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.older_transactions()
RETURNS SETOF text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM pg_stat_clear_snapshot();
    RETURN QUERY
    SELECT l.virtualtransaction
    FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'virtualxid' AND l.virtualxid = l.virtualtransaction AND l.pid <> pg_backend_pid()
      AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      -- Autovacuum has no user. Where the state of a session may be seen, so may that it holds no snapshot.
      AND a.usesysid IS NOT NULL AND (a.state IS NULL OR a.backend_xmin IS NOT NULL);
END
$function$;
COMMENT ON FUNCTION pgscore.older_transactions() IS
    'The transactions of other sessions in this database that hold a snapshot, or may. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.wait_for_older(patience interval)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + patience;
    older text[] := ARRAY(SELECT pgscore.older_transactions());
BEGIN
    WHILE older <> '{}' LOOP
        IF clock_timestamp() > deadline THEN
            RETURN false;
        END IF;
        PERFORM pg_sleep(0.01);
        older := ARRAY(SELECT o FROM pgscore.older_transactions() AS o WHERE o = ANY (older));
    END LOOP;
    RETURN true;
END
$function$;
COMMENT ON FUNCTION pgscore.wait_for_older(interval) IS
    'Waits until the transactions that go on now are gone; false: they were not in time. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.swap(target regclass, key_columns text[], build pgscore.builds)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    patience text := current_setting('lock_timeout');
    hindrance text;
BEGIN
    IF patience = '0' THEN
        patience := '5s';
    END IF;
    IF NOT pgscore.wait_for_older(patience::interval) THEN
        RETURN 'a transaction stays open that began before the new rows were there';
    END IF;
    -- Readers wait from here to the end of the transaction.
    PERFORM set_config('lock_timeout', patience, true);
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', target);
    hindrance := CASE
        WHEN pgscore.indexes_of(target) <> build.indexes THEN 'an index came or went meanwhile'
        ELSE pgscore.swap_hindrance(target, key_columns, build.names)
    END;
    IF hindrance IS NOT NULL THEN
        -- With what was done since the block began, the lock goes.
        RAISE EXCEPTION USING ERRCODE = 'PS002', MESSAGE = hindrance;
    END IF;
    EXECUTE format('DROP TABLE %s', pgscore.part_of(target));
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s DEFAULT', target, build.relation);
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN 'others held the table all the time';
    WHEN SQLSTATE 'PS002' OR dependent_objects_still_exist THEN
        RETURN SQLERRM;
END
$function$;
COMMENT ON FUNCTION pgscore.swap(regclass, text[], pgscore.builds) IS
    'Puts the table that was built in the place of a target''s partition; what it gives is why not. It waits lock_timeout at '
    'most, where that is not set 5 seconds. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.write_built(job text)
RETURNS TABLE (
    run_id bigint, version integer, rows_scored bigint, rows_inserted bigint, rows_updated bigint, rows_deleted bigint,
    rows_refused bigint
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    build pgscore.builds;
    target regclass;
    hindrance text;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    target := to_regclass(it.target);
    SELECT b.* INTO build FROM pgscore.build_of(job) AS b WHERE NOT b.is_open;
    IF NOT FOUND OR target IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('what refresh job %s built beside %s is gone', job, it.target),
            HINT = 'another run of the job, or its drop, came between';
    END IF;
    PERFORM pgscore.lock_job(job, build.after_run);
    PERFORM set_config('lock_timeout', l.lock_timeout, true)
    FROM pgscore.limits_of(job) AS l
    WHERE l.lock_timeout IS NOT NULL;
    hindrance := pgscore.swap(target, it.key_columns, build);
    IF hindrance IS NULL THEN
        SELECT build.rows_built, 0, build.rows_before INTO rows_inserted, rows_updated, rows_deleted;
    ELSE
        SELECT w.* INTO STRICT rows_inserted, rows_updated, rows_deleted
        FROM pgscore.write_difference(
            target, cardinality(it.key_columns), build.names,
            ARRAY(SELECT format('s.%I', c.name) FROM unnest(build.names) WITH ORDINALITY AS c (name, n) ORDER BY c.n), false, false,
            build.relation) AS w;
        EXECUTE format('DROP TABLE %s', build.relation);
    END IF;
    PERFORM pgscore.forget_build(job);
    PERFORM pgscore.end_chunks(job);
    version := build.version;
    rows_scored := build.rows_scored;
    rows_refused := build.rows_refused;
    run_id := pgscore.record_run(
        job, build.started_at, version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused);
    IF build.rejected IS NOT NULL THEN
        PERFORM pgscore.record_rejected(job, run_id, build.rejected);
    END IF;
    IF build.segments IS NOT NULL THEN
        PERFORM pgscore.record_segments(job, run_id, build.segments);
    END IF;
    PERFORM pgscore.record_writing(
        job, run_id, CASE WHEN hindrance IS NULL THEN 'swap' ELSE 'difference' END, coalesce(hindrance, build.because));
    RETURN NEXT;
END
$function$;
COMMENT ON FUNCTION pgscore.write_built(text) IS
    'The second step of a run that built beside: swaps, or writes the difference, and writes the run down. Part of run_job';
