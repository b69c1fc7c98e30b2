-- Segments: how many rows a clusterer's refresh put into each cluster, and how rows moved since the run before.
--
--   SELECT * FROM pgscore.segment_sizes WHERE job = 'segments';
--   SELECT * FROM pgscore.segment_drift WHERE job = 'segments';
--
-- The numbers of clusters mean nothing beyond their version: what is compared is of one version.
--
-- Rights are those of 31_refresh.sql. Figures hold no values of rows.

CREATE TABLE IF NOT EXISTS pgscore.segments (
    run_id   bigint CONSTRAINT segments_run_exists REFERENCES pgscore.runs (run_id) ON DELETE CASCADE,
    segment  integer,
    rows     bigint NOT NULL,
    stayed   bigint NOT NULL,
    moved_in bigint NOT NULL,
    PRIMARY KEY (run_id, segment)
);
COMMENT ON TABLE pgscore.segments IS 'How many rows each run of a job put into each cluster, where the model is a clusterer';
COMMENT ON COLUMN pgscore.segments.run_id IS 'The run';
COMMENT ON COLUMN pgscore.segments.segment IS 'The cluster';
COMMENT ON COLUMN pgscore.segments.rows IS 'Its rows';
COMMENT ON COLUMN pgscore.segments.stayed IS 'Those that the same version had put there before';
COMMENT ON COLUMN pgscore.segments.moved_in IS
    'Those that the same version had put into another one; the others are new, or were of another version';

CREATE OR REPLACE FUNCTION pgscore.count_segments(target regclass, key_columns text[], scored text, score text, by_version text)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    counts jsonb;
BEGIN
    EXECUTE format(
        $counts$
        SELECT jsonb_agg(c)
        FROM (
            SELECT
                %1$s AS segment,
                count(*) AS rows,
                count(*) FILTER (WHERE t.score = %1$s) AS stayed,
                count(*) FILTER (WHERE t.score <> %1$s) AS moved_in
            FROM %5$s AS s
            LEFT JOIN %2$s AS t ON %3$s AND t.model_version = %4$s
            WHERE %1$s IS NOT NULL
            GROUP BY 1
        ) AS c
        $counts$, score, target,
        (SELECT string_agg(format('t.%I = s.k%s', k.name, k.n), ' AND ' ORDER BY k.n)
         FROM unnest(key_columns) WITH ORDINALITY AS k (name, n)),
        by_version, scored)
    INTO counts;
    RETURN coalesce(counts, '[]');
END
$function$;
COMMENT ON FUNCTION pgscore.count_segments(regclass, text[], text, text, text) IS
    'The rows of pgscore.segments for what is scored and not yet written. scored is the relation of k1, k2, … and what score and '
    'by_version, SQL of what is written of its row s, read. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_segments(job text, run_id bigint, segments jsonb)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.segments (run_id, segment, rows, stayed, moved_in)
    SELECT r.run_id, s.segment, s.rows, s.stayed, s.moved_in
    FROM pgscore.job_of(record_segments.job) AS j
    JOIN pgscore.runs AS r USING (job_id)
    CROSS JOIN jsonb_to_recordset(record_segments.segments)
        AS s (segment integer, rows bigint, stayed bigint, moved_in bigint)
    WHERE r.run_id = record_segments.run_id
$function$;
COMMENT ON FUNCTION pgscore.record_segments(text, bigint, jsonb) IS
    'Writes down the sizes of the segments in a run of a refresh job. Part of refresh';

CREATE OR REPLACE VIEW pgscore.segment_sizes WITH (security_barrier) AS
SELECT
    j.name AS job,
    s.run_id,
    r.started_at AS at,
    r.version,
    s.segment,
    s.rows,
    s.rows::double precision / sum(s.rows) OVER (PARTITION BY s.run_id)::double precision AS share,
    s.stayed,
    s.moved_in
FROM pgscore.segments AS s
JOIN pgscore.runs AS r USING (run_id)
JOIN pgscore.jobs AS j USING (job_id)
WHERE has_table_privilege('pgscore.model_overview', 'SELECT')
   OR coalesce(pg_has_role(to_regrole(quote_ident(j.owner)), 'MEMBER'), false);
COMMENT ON VIEW pgscore.segment_sizes IS
    'The size of each segment, run by run: rows, their share of all, and how many of them were there or elsewhere before: of '
    'all jobs for who may read the other overviews, else of jobs of one''s own';

CREATE OR REPLACE VIEW pgscore.segment_drift WITH (security_barrier) AS
SELECT
    it.job,
    it.run_id,
    it.at,
    it.version,
    it.rows,
    it.previous_run,
    it.moved::double precision / nullif(it.known, 0)::double precision AS moved_share,
    change.psi
FROM (
    SELECT
        s.job, s.run_id, s.at, s.version, sum(s.rows) AS rows, sum(s.moved_in) AS moved, sum(s.moved_in + s.stayed) AS known,
        lag(s.run_id) OVER (PARTITION BY s.job, s.version ORDER BY s.run_id) AS previous_run
    FROM pgscore.segment_sizes AS s
    GROUP BY s.job, s.run_id, s.at, s.version
) AS it
LEFT JOIN LATERAL (
    -- An empty segment counts as 0.0001 of the rows, as is usual: the logarithm of 0 is none.
    SELECT sum((p.now - p.before) * ln(p.now / p.before)) AS psi
    FROM (
        SELECT greatest(n.share, 0.0001::double precision) AS now, greatest(b.share, 0.0001::double precision) AS before
        FROM (SELECT s.segment, s.share FROM pgscore.segment_sizes AS s WHERE s.run_id = it.run_id) AS n
        FULL JOIN (SELECT s.segment, s.share FROM pgscore.segment_sizes AS s WHERE s.run_id = it.previous_run) AS b USING (segment)
    ) AS p
    WHERE it.previous_run IS NOT NULL
) AS change ON true;
COMMENT ON VIEW pgscore.segment_drift IS
    'How segments moved, run by run: of the rows that the same version had scored before, the share that changed segment; and the '
    'population stability index of the sizes, against the last run of the same version (previous_run)';
