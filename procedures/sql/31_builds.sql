-- Tables that runs of refresh jobs have built and not swapped in yet (33_swapping.sql): what is known of them.
--
-- The functions run as the owner, for members of the role that created the job.

CREATE TABLE IF NOT EXISTS pgscore.builds (
    job_id       integer PRIMARY KEY CONSTRAINT builds_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    relation     text NOT NULL,
    names        text[] NOT NULL,
    indexes      text[] NOT NULL,
    because      text NOT NULL,
    after_run    bigint,
    started_at   timestamptz NOT NULL,
    version      integer NOT NULL,
    rows_scored  bigint NOT NULL,
    rows_refused bigint NOT NULL,
    rows_before  bigint NOT NULL,
    rows_built   bigint NOT NULL,
    rejected     jsonb,
    is_open      boolean NOT NULL DEFAULT false,
    segments     jsonb
);
COMMENT ON TABLE pgscore.builds IS
    'Tables that runs have built beside their target and not swapped in yet; of a run that was killed, until the next one';
COMMENT ON COLUMN pgscore.builds.job_id IS 'The job';
COMMENT ON COLUMN pgscore.builds.relation IS 'The table, qualified and quoted';
COMMENT ON COLUMN pgscore.builds.names IS 'Its columns, the key first, without scored_at';
COMMENT ON COLUMN pgscore.builds.indexes IS 'The indexes of the target that it has its own of, as they were defined';
COMMENT ON COLUMN pgscore.builds.because IS 'Why it was built';
COMMENT ON COLUMN pgscore.builds.after_run IS 'The last good run of the job before it';
COMMENT ON COLUMN pgscore.builds.started_at IS 'When the run began';
COMMENT ON COLUMN pgscore.builds.version IS 'The version that scored';
COMMENT ON COLUMN pgscore.builds.rows_scored IS 'Rows of the source';
COMMENT ON COLUMN pgscore.builds.rows_refused IS 'Rows that the model takes not';
COMMENT ON COLUMN pgscore.builds.rows_before IS 'Rows of the target';
COMMENT ON COLUMN pgscore.builds.rows_built IS 'Rows of the table';
COMMENT ON COLUMN pgscore.builds.rejected IS 'The keys without a score, and why: of rejected_now';
COMMENT ON COLUMN pgscore.builds.is_open IS
    'Whether several connections are writing it (33_parallel.sql): it is not to be swapped in yet, and its numbers of rows are not known';
COMMENT ON COLUMN pgscore.builds.segments IS 'Of a clusterer, the sizes of its segments: of count_segments';

CREATE OR REPLACE FUNCTION pgscore.record_build(job text, build pgscore.builds)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.builds
    SELECT j.job_id, format('%I.%I', (parse_ident(build.relation))[1], (parse_ident(build.relation))[2]), build.names,
           build.indexes, build.because,
           (SELECT max(r.run_id) FROM pgscore.runs AS r WHERE r.job_id = j.job_id AND r.state = 'done'),
           build.started_at, build.version, build.rows_scored, build.rows_refused, build.rows_before, build.rows_built,
           build.rejected, build.is_open, build.segments
    FROM pgscore.job_of(record_build.job) AS j
$function$;
COMMENT ON FUNCTION pgscore.record_build(text, pgscore.builds) IS
    'Writes down the table that a run of a job has built. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.build_of(job text)
RETURNS SETOF pgscore.builds
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    -- Whoever runs the job drops the table: no more is believed of it than that it is the job owner's own.
    SELECT b.job_id, format('%I.%I', n.nspname, c.relname), b.names, b.indexes, b.because, b.after_run, b.started_at, b.version,
           b.rows_scored, b.rows_refused, b.rows_before, b.rows_built, b.rejected, b.is_open, b.segments
    FROM pgscore.job_of(build_of.job) AS mine
    JOIN pgscore.jobs AS j USING (job_id)
    JOIN pgscore.builds AS b USING (job_id)
    JOIN pg_namespace AS n ON n.nspname = (parse_ident(b.relation))[1]
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = (parse_ident(b.relation))[2]
    WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relowner = to_regrole(quote_ident(j.owner))
$function$;
COMMENT ON FUNCTION pgscore.build_of(text) IS 'The table that a run of a job has built, if it is there and the job owner''s. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.forget_build(job text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    DELETE FROM pgscore.builds AS b USING pgscore.job_of(forget_build.job) AS j WHERE b.job_id = j.job_id
$function$;
COMMENT ON FUNCTION pgscore.forget_build(text) IS 'Takes away what record_build wrote. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.owner_of(job text)
RETURNS regrole
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT to_regrole(quote_ident(j.owner)) FROM pgscore.job_of(owner_of.job) AS mine JOIN pgscore.jobs AS j USING (job_id)
$function$;
COMMENT ON FUNCTION pgscore.owner_of(text) IS 'The role that created a refresh job. Part of refresh';
