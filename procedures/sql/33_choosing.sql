-- How a run is to write: the difference, or all rows beside and a swap (33_swapping.sql). Chosen before anything is scored.
--
-- All of it runs as the caller of refresh, but for what reads the catalog.

CREATE OR REPLACE FUNCTION pgscore.swap_pays(rows double precision, share double precision)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- Microseconds, measured with a key, score, version and time. To find what differs costs another 1 a row, which is
    -- left out: a swap has no bloat but writes all rows, and moves scored_at of all.
    change_row CONSTANT double precision := 3.5;
    build_row CONSTANT double precision := 1.1;
    swap_table CONSTANT double precision := 100000;
BEGIN
    RETURN rows * share * change_row > rows * build_row + swap_table;
END
$function$;
COMMENT ON FUNCTION pgscore.swap_pays(double precision, double precision) IS
    'Whether to build all rows of a target anew is quicker than to change this share of them. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.recent_share(job text)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- Of ten runs at most: a share that only swaps follow is measured again in the end.
    SELECT avg(s.share)
    FROM (
        SELECT (r.rows_inserted + r.rows_updated + r.rows_deleted) / r.rows_scored::double precision AS share
        FROM (
            SELECT r.*, lag(r.version) OVER (ORDER BY r.run_id) AS version_before
            FROM pgscore.job_of(recent_share.job) AS j
            CROSS JOIN LATERAL (
                SELECT * FROM pgscore.runs AS r
                WHERE r.job_id = j.job_id AND r.state = 'done'
                ORDER BY r.run_id DESC
                LIMIT 10
            ) AS r
        ) AS r
        WHERE r.version = r.version_before AND r.written = 'difference' AND r.rows_scored > 0
        ORDER BY r.run_id DESC
        LIMIT 3
    ) AS s
$function$;
COMMENT ON FUNCTION pgscore.recent_share(text) IS
    'The share of the rows that recent runs of a job changed, without those that brought another version; NULL: not known. '
    'Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.part_of(target regclass)
RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT p.partdefid::regclass
    FROM pg_partitioned_table AS p
    WHERE p.partrelid = target AND p.partdefid <> 0 AND (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = target) = 1
$function$;
COMMENT ON FUNCTION pgscore.part_of(regclass) IS
    'The partition that holds the rows of a target; NULL for a table that is not partitioned so. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.free_part(target text)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    place CONSTANT text[] := parse_ident(target);
    stem CONSTANT text := CASE WHEN octet_length(place[2]) <= 61 THEN place[2] ELSE 'pgscore_' || md5(place[2]) END;
    free text;
BEGIN
    SELECT format('%I.%I', place[1], stem || '_' || n) INTO free
    FROM generate_series(1, 9) AS n
    WHERE to_regclass(format('%I.%I', place[1], stem || '_' || n)) IS NULL
    ORDER BY n
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('%s has no name left for a partition: relations %s_1 to %s_9 exist', target, stem, stem),
            HINT = 'drop or rename those that are not partitions of it';
    END IF;
    RETURN free;
END
$function$;
COMMENT ON FUNCTION pgscore.free_part(text) IS
    'A name that is free for a partition of a target: TARGET_1, TARGET_2, … Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.indexes_of(target regclass)
RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT coalesce(array_agg(pg_get_indexdef(i.indexrelid) ORDER BY i.indexrelid), '{}') FROM pg_index AS i WHERE i.indrelid = target
$function$;
COMMENT ON FUNCTION pgscore.indexes_of(regclass) IS 'The definitions of a table''s indexes. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.index_prefix(index regclass)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT format('CREATE %sINDEX %I ON ONLY %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, n.nspname, t.relname)
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    JOIN pg_namespace AS n ON n.oid = t.relnamespace
    WHERE i.indexrelid = index
$function$;
COMMENT ON FUNCTION pgscore.index_prefix(regclass) IS
    'How the definition of a partitioned table''s index begins, before what it is made of. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.swap_hindrance(target regclass, key_columns text[], names text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    part CONSTANT regclass := pgscore.part_of(target);
    owner CONSTANT oid := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = target);
    place CONSTANT oid := (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = target);
    acts_as CONSTANT text := CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END;
    hindrance text;
BEGIN
    IF part IS NULL THEN
        RETURN format('%s is no table with one partition, its default one', target);
    END IF;
    SELECT h.what INTO hindrance
    FROM (
        SELECT 1, format('%s belongs to role %s', target, owner::regrole)
        WHERE NOT pg_has_role(owner, acts_as) OR NOT pg_has_role(owner, 'USAGE')
           OR NOT has_schema_privilege(place, 'CREATE') OR NOT has_schema_privilege(owner, place, 'CREATE')
        UNION ALL
        SELECT 2, format('column %I is not the job''s', a.attname)
        FROM pg_attribute AS a
        WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (names || 'scored_at'::text)
        UNION ALL
        SELECT 3, format('constraint %I', c.conname)
        FROM pg_constraint AS c
        WHERE (c.conrelid IN (target, part) AND c.contype NOT IN ('p', 'u', 'n'))
           OR (c.confrelid IN (target, part) AND c.contype = 'f')
        UNION ALL
        SELECT 4, format('trigger %I', t.tgname)
        FROM pg_trigger AS t
        WHERE t.tgrelid IN (target, part) AND NOT t.tgisinternal
        UNION ALL
        SELECT 5, format('rule %I', r.rulename) FROM pg_rewrite AS r WHERE r.ev_class IN (target, part)
        UNION ALL
        SELECT 6, format('publication %I', p.pubname)
        FROM pg_publication AS p
        WHERE p.puballtables OR p.oid IN (
            SELECT r.prpubid FROM pg_publication_rel AS r WHERE r.prrelid IN (target, part)
            UNION ALL
            SELECT n.pnpubid FROM pg_publication_namespace AS n WHERE n.pnnspid = place)
        UNION ALL
        SELECT 7, format('index %s', i.indexrelid::regclass)
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE (i.indrelid = target AND (NOT i.indisvalid OR NOT i.indimmediate OR c.reltablespace <> 0
               OR NOT starts_with(pg_get_indexdef(i.indexrelid), pgscore.index_prefix(i.indexrelid))))
           OR (i.indrelid = part AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid))
        UNION ALL
        SELECT 8, format('the primary key of %s is not the job''s', target)
        WHERE NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = target AND i.indisprimary
              AND (SELECT array_agg(a.attname::text ORDER BY k.n)
                   FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
                   JOIN pg_attribute AS a ON a.attrelid = target AND a.attnum = k.attnum) = key_columns)
        UNION ALL
        SELECT 9, format('what is set for %s itself', part)
        FROM pg_class AS c
        WHERE c.oid = part AND (
            c.relacl IS NOT NULL OR c.relrowsecurity OR c.relforcerowsecurity OR c.relpersistence <> 'p'
            OR EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = part)
            OR EXISTS (SELECT FROM pg_statistic_ext AS s WHERE s.stxrelid = part)
            OR EXISTS (
                SELECT FROM pg_attribute AS a
                JOIN pg_type AS t ON t.oid = a.atttypid
                WHERE a.attrelid = part AND a.attnum > 0 AND NOT a.attisdropped
                  AND (a.attacl IS NOT NULL OR a.attoptions::text ~ 'n_distinct' OR a.attstorage <> t.typstorage
                       OR a.attcompression <> '' OR coalesce(a.attstattarget, -1) >= 0)))
        UNION ALL
        SELECT 10, pg_describe_object(d.classid, d.objid, d.objsubid)
        FROM pg_depend AS d
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = part AND d.deptype = 'n'
        UNION ALL
        SELECT 11, format('row security of %s binds its owner too', target)
        FROM pg_class AS c
        WHERE c.oid = target AND c.relforcerowsecurity
    ) AS h (n, what)
    ORDER BY h.n
    LIMIT 1;
    RETURN hindrance;
END
$function$;
COMMENT ON FUNCTION pgscore.swap_hindrance(regclass, text[], text[]) IS
    'What a swap of a target''s partition would lose, or cannot do; NULL: nothing. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.choose_writing(
    job text, target regclass, key_columns text[], names text[], called record, query text, beside boolean, comparing boolean,
    keeps_vanished boolean,
    OUT written text, OUT because text, OUT rows_before bigint
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    asked CONSTANT text := nullif(current_setting('pgscore.writes', true), '');
    rows double precision;
    outdated bigint;
    share double precision;
BEGIN
    written := 'difference';
    because := CASE
        WHEN NOT beside THEN 'pgscore.refresh is one transaction'
        WHEN pgscore.is_incremental(job) THEN 'the job is incremental'
        WHEN comparing THEN 'a challenger is compared'
        WHEN keeps_vanished THEN 'keys that have vanished are kept'
        WHEN (SELECT c.relowner <> pgscore.owner_of(job) FROM pg_class AS c WHERE c.oid = target)
            THEN format('%s belongs to another role than the job', target)
        ELSE coalesce(pgscore.swap_hindrance(target, key_columns, names), CASE asked WHEN 'difference' THEN 'pgscore.writes' END)
    END;
    IF because IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE t.model_version <> $1) FROM %s AS t', target)
    INTO rows_before, outdated USING called.version;
    IF rows_before = 0 THEN
        rows := pgscore.estimated_rows(query);
        share := 1;
        because := 'the target is empty';
    ELSE
        rows := rows_before;
        share := outdated / rows;
        because := format('%s %% of the rows are of another version', round(share * 100));
        IF coalesce(pgscore.recent_share(job), 0) > share THEN
            share := pgscore.recent_share(job);
            because := format('%s %% of the rows changed in recent runs', round(share * 100));
        END IF;
    END IF;
    IF pgscore.swap_pays(rows, share) OR asked = 'swap' THEN
        written := 'swap';
    ELSIF share > 0.5 THEN
        because := 'the table is small';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.choose_writing(text, regclass, text[], text[], record, text, boolean, boolean, boolean) IS
    'Whether a run writes the difference or builds beside and swaps, and why. query is that of scoring_query. The setting '
    'pgscore.writes, difference or swap, is obeyed where both can be. Part of refresh';
