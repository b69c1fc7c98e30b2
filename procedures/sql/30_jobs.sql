-- Refresh jobs and their runs: what 31_refresh.sql reads and writes of the catalog.
--
-- The functions run as the owner. They let a job be changed or recorded by members of the role that created it, and give
-- away no more than that.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE TABLE IF NOT EXISTS pgscore.jobs (
    job_id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CONSTRAINT jobs_name_is_unique UNIQUE,
    model_id    integer NOT NULL CONSTRAINT jobs_model_exists REFERENCES pgscore.models (model_id),
    alias       text NOT NULL,
    source      text NOT NULL,
    key_columns text[] NOT NULL,
    target      text NOT NULL CONSTRAINT jobs_target_has_one_job UNIQUE,
    mode        text NOT NULL CONSTRAINT jobs_mode_is_known CHECK (mode IN ('full', 'incremental')),
    owner       text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  text NOT NULL DEFAULT session_user,
    challenger  text,
    canary      double precision NOT NULL DEFAULT 0,
    target_lag  interval,
    every       interval,
    statement_timeout   interval,
    lock_timeout        interval,
    max_rows_per_second bigint,
    live                boolean NOT NULL DEFAULT false,
    CONSTRAINT jobs_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]*$' AND octet_length(name) <= 63),
    CONSTRAINT jobs_has_a_key CHECK (cardinality(key_columns) > 0),
    CONSTRAINT jobs_challenger_is_another_alias CHECK (challenger <> alias),
    CONSTRAINT jobs_canary_is_a_share CHECK (canary BETWEEN 0 AND 1),
    CONSTRAINT jobs_canary_has_a_challenger CHECK (canary = 0 OR challenger IS NOT NULL),
    CONSTRAINT jobs_target_lag_is_positive CHECK (target_lag > '0'),
    CONSTRAINT jobs_every_is_positive CHECK (every > '0'),
    CONSTRAINT jobs_statement_timeout_is_positive CHECK (statement_timeout > '0'),
    CONSTRAINT jobs_lock_timeout_is_positive CHECK (lock_timeout > '0'),
    CONSTRAINT jobs_max_rows_per_second_is_positive CHECK (max_rows_per_second > 0)
);
COMMENT ON TABLE pgscore.jobs IS 'Refresh jobs: which model scores which source into which target';
COMMENT ON COLUMN pgscore.jobs.job_id IS 'Key';
COMMENT ON COLUMN pgscore.jobs.name IS 'The name that CALL pgscore.run_job takes';
COMMENT ON COLUMN pgscore.jobs.model_id IS 'The model';
COMMENT ON COLUMN pgscore.jobs.alias IS 'Each run uses the version that this alias of the model points to when it begins';
COMMENT ON COLUMN pgscore.jobs.source IS 'The table or view that is scored, qualified and quoted';
COMMENT ON COLUMN pgscore.jobs.key_columns IS 'The columns that identify a row of the source';
COMMENT ON COLUMN pgscore.jobs.target IS 'The prediction table, qualified and quoted; all its rows belong to this job';
COMMENT ON COLUMN pgscore.jobs.mode IS
    'full: each run scores every row; incremental: rows that changed, or are of an old version';
COMMENT ON COLUMN pgscore.jobs.owner IS 'The role that created it; its members run and drop it';
COMMENT ON COLUMN pgscore.jobs.created_at IS 'When it was created';
COMMENT ON COLUMN pgscore.jobs.created_by IS 'Who created it: the role that logged in';
COMMENT ON COLUMN pgscore.jobs.challenger IS 'The alias whose version is scored beside alias''s and compared; NULL: none';
COMMENT ON COLUMN pgscore.jobs.canary IS 'The share of the keys whose score in the target is the challenger''s; 0: none';
COMMENT ON COLUMN pgscore.jobs.target_lag IS 'How old predictions may become; NULL: nothing is declared';
COMMENT ON COLUMN pgscore.jobs.every IS 'How long after a run began the next one is due; NULL: never by itself';
COMMENT ON COLUMN pgscore.jobs.statement_timeout IS 'How long a run may take; NULL: as it is set where it runs';
COMMENT ON COLUMN pgscore.jobs.lock_timeout IS 'How long a run waits for a lock; NULL: as it is set where it runs';
COMMENT ON COLUMN pgscore.jobs.max_rows_per_second IS
    'How many rows a run scores in a second, where it takes several steps; NULL: as many as it can';
COMMENT ON COLUMN pgscore.jobs.live IS 'Whether it has a view TARGET_live';

CREATE TABLE IF NOT EXISTS pgscore.runs (
    run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        integer NOT NULL CONSTRAINT runs_job_exists REFERENCES pgscore.jobs (job_id) ON DELETE CASCADE,
    state         text NOT NULL CONSTRAINT runs_state_is_known CHECK (state IN ('done', 'failed')),
    version       integer,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    rows_scored   bigint,
    rows_inserted bigint,
    rows_updated  bigint,
    rows_deleted  bigint,
    rows_refused  bigint,
    error         text,
    by            text NOT NULL DEFAULT session_user,
    written       text CONSTRAINT runs_written_is_known CHECK (written IN ('difference', 'swap')),
    because       text,
    CONSTRAINT runs_failed_says_why CHECK ((state = 'failed') = (error IS NOT NULL)),
    CONSTRAINT runs_done_says_what CHECK (
        state = 'failed'
        OR num_nulls(version, rows_scored, rows_inserted, rows_updated, rows_deleted, rows_refused) = 0)
);
CREATE INDEX IF NOT EXISTS runs_of_job ON pgscore.runs (job_id, run_id);
COMMENT ON TABLE pgscore.runs IS 'What the refresh jobs did';
COMMENT ON COLUMN pgscore.runs.run_id IS 'Key';
COMMENT ON COLUMN pgscore.runs.job_id IS 'The job';
COMMENT ON COLUMN pgscore.runs.state IS 'done, or failed: the target is then as the run before left it';
COMMENT ON COLUMN pgscore.runs.version IS 'The version that scored';
COMMENT ON COLUMN pgscore.runs.started_at IS 'When it began';
COMMENT ON COLUMN pgscore.runs.finished_at IS 'When it ended';
COMMENT ON COLUMN pgscore.runs.rows_scored IS 'Rows of the source';
COMMENT ON COLUMN pgscore.runs.rows_inserted IS 'Keys that were new; of a swap, the rows of the new table';
COMMENT ON COLUMN pgscore.runs.rows_updated IS 'Rows whose score or version changed';
COMMENT ON COLUMN pgscore.runs.rows_deleted IS 'Keys that the source has no more; of a swap, the rows of the old table';
COMMENT ON COLUMN pgscore.runs.rows_refused IS 'Rows that the model takes not: their score is NULL';
COMMENT ON COLUMN pgscore.runs.error IS 'Why it failed';
COMMENT ON COLUMN pgscore.runs.by IS 'Who ran it: the role that logged in';
COMMENT ON COLUMN pgscore.runs.written IS 'difference: what changed was written; swap: all rows, into a table that took the place of the old one';
COMMENT ON COLUMN pgscore.runs.because IS 'Why so';

CREATE TABLE IF NOT EXISTS pgscore.comparisons (
    run_id                  bigint PRIMARY KEY
                            CONSTRAINT comparisons_run_exists REFERENCES pgscore.runs (run_id) ON DELETE CASCADE,
    challenger              text NOT NULL,
    version                 integer NOT NULL,
    challenger_version      integer NOT NULL,
    canary                  double precision NOT NULL,
    canary_rows             bigint NOT NULL,
    rows                    bigint NOT NULL,
    both_refused            bigint NOT NULL,
    only_live_refused       bigint NOT NULL,
    only_challenger_refused bigint NOT NULL,
    agreement               double precision,
    mean_live               double precision,
    mean_challenger         double precision,
    mean_shift              double precision,
    mean_abs_shift          double precision,
    max_abs_shift           double precision,
    ks                      double precision,
    rank_correlation        double precision,
    overlap_top_1pct        double precision,
    overlap_top_10pct       double precision,
    CONSTRAINT comparisons_has_two_versions CHECK (version <> challenger_version)
);
COMMENT ON TABLE pgscore.comparisons IS
    'How the challenger scored beside live, in the runs that had one. Figures of the rows that both scored, never values '
    'of a row; NULL where a figure makes no sense for the kind of model (docs/challengers.md)';
COMMENT ON COLUMN pgscore.comparisons.run_id IS 'The run';
COMMENT ON COLUMN pgscore.comparisons.challenger IS 'The challenger''s alias';
COMMENT ON COLUMN pgscore.comparisons.version IS 'The version of the job''s alias: live';
COMMENT ON COLUMN pgscore.comparisons.challenger_version IS 'The version of the challenger';
COMMENT ON COLUMN pgscore.comparisons.canary IS 'The share of the keys that were to get the challenger''s score';
COMMENT ON COLUMN pgscore.comparisons.canary_rows IS 'The rows that got it';
COMMENT ON COLUMN pgscore.comparisons.rows IS 'Rows of the source';
COMMENT ON COLUMN pgscore.comparisons.both_refused IS 'Rows that neither version takes';
COMMENT ON COLUMN pgscore.comparisons.only_live_refused IS 'Rows that the challenger alone scored';
COMMENT ON COLUMN pgscore.comparisons.only_challenger_refused IS 'Rows that live alone scored';
COMMENT ON COLUMN pgscore.comparisons.agreement IS
    'Share of rows with the same label, or with probabilities on the same side of 0.5, decisions on the same side of 0';
COMMENT ON COLUMN pgscore.comparisons.mean_live IS 'Mean score of live';
COMMENT ON COLUMN pgscore.comparisons.mean_challenger IS 'Mean score of the challenger';
COMMENT ON COLUMN pgscore.comparisons.mean_shift IS 'Mean of challenger - live';
COMMENT ON COLUMN pgscore.comparisons.mean_abs_shift IS 'Mean of |challenger - live|';
COMMENT ON COLUMN pgscore.comparisons.max_abs_shift IS 'Largest |challenger - live|';
COMMENT ON COLUMN pgscore.comparisons.ks IS 'Kolmogorov-Smirnov distance between the two distributions of scores';
COMMENT ON COLUMN pgscore.comparisons.rank_correlation IS 'Spearman''s, ties at their mean rank; NULL where all scores are one';
COMMENT ON COLUMN pgscore.comparisons.overlap_top_1pct IS 'Share of the 1 % of keys with the highest scores that both have';
COMMENT ON COLUMN pgscore.comparisons.overlap_top_10pct IS 'The same of the highest 10 %';

CREATE OR REPLACE FUNCTION pgscore.keep_models_of_jobs()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    names text;
BEGIN
    SELECT string_agg(j.name, ', ' ORDER BY j.name) INTO names FROM pgscore.jobs AS j WHERE j.model_id = OLD.model_id;
    IF names IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('model %s is used by refresh job %s', OLD.name, names),
            HINT = 'drop the job first: SELECT pgscore.drop_refresh(…)';
    END IF;
    RETURN OLD;
END
$function$;
COMMENT ON FUNCTION pgscore.keep_models_of_jobs() IS 'Trigger: a model that a refresh job uses is not dropped';

CREATE OR REPLACE TRIGGER models_of_jobs_stay
    BEFORE DELETE ON pgscore.models
    FOR EACH ROW EXECUTE FUNCTION pgscore.keep_models_of_jobs();

CREATE OR REPLACE FUNCTION pgscore.version_to_run(model text, alias text)
RETURNS TABLE (
    model_id integer, version integer, name text, strategy text, kind text, parameters jsonb, main jsonb, functions jsonb
)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RETURN QUERY
    SELECT
        m.model_id, v.version, format('%s_v%s', m.name, v.version), v.strategy, v.kind, v.parameters, v.functions -> 0,
        v.functions
    FROM pgscore.models AS m
    JOIN pgscore.aliases AS a ON a.model_id = m.model_id AND a.alias = version_to_run.alias
    JOIN pgscore.versions AS v ON v.version_id = a.version_id
    WHERE m.name = version_to_run.model;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no model %s with an alias %s', model, alias),
            HINT = 'see pgscore.model_overview';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.version_to_run(text, text) IS
    'The version that an alias means, and how to score with it. Part of refresh; it gives away no more than schema score does';

CREATE OR REPLACE FUNCTION pgscore.job_of(job text)
RETURNS TABLE (job_id integer, model text, alias text, source text, key_columns text[], target text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    found_job record;
BEGIN
    SELECT j.*, m.name AS model INTO found_job
    FROM pgscore.jobs AS j
    JOIN pgscore.models AS m USING (model_id)
    WHERE j.name = job_of.job;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format('there is no refresh job %L', job),
            HINT = 'see pgscore.freshness',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    IF NOT coalesce(pg_has_role(session_user, to_regrole(quote_ident(found_job.owner)), 'MEMBER'), false)
       AND NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS005',
            MESSAGE = format('role %s may not use refresh job %s, which belongs to %s', session_user, job, found_job.owner),
            HINT = format('GRANT %I TO %I', found_job.owner, session_user),
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    RETURN QUERY SELECT
        found_job.job_id, found_job.model, found_job.alias, found_job.source, found_job.key_columns, found_job.target;
END
$function$;
COMMENT ON FUNCTION pgscore.job_of(text) IS
    'The refresh job, for members of the role that created it (and of pgscore''s owner). Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.lock_job(job text, last_run bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    IF NOT pg_try_advisory_xact_lock(hashtext('pgscore.refresh'), it.job_id) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('refresh job %s is running already', job),
            HINT = 'wait for it to end',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
    IF EXISTS (SELECT FROM pgscore.runs AS r WHERE r.job_id = it.job_id AND r.run_id > last_run AND r.state = 'done') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = format('another run of refresh job %s came between two steps of this one', job),
            HINT = 'what this one wrote stays, and the other goes on from there',
            SCHEMA = 'pgscore', TABLE = 'jobs';
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.lock_job(text, bigint) IS
    'Keeps other runs of a refresh job away until the end of the transaction; raises where one is going on, or was done since '
    'the run last_run. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.add_job(
    job text, model_id integer, alias text, source text, key_columns text[], target text, mode text, owner text
)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    other text;
BEGIN
    IF NOT pg_has_role(session_user, to_regrole(quote_ident(owner)), 'MEMBER') THEN
        RAISE EXCEPTION USING ERRCODE = 'PS005', MESSAGE = format('role %s is no member of %s', session_user, owner);
    END IF;
    IF job IS NULL OR job !~ '^[a-z][a-z0-9_]*$' OR octet_length(job) > 63 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L is no name for a refresh job', job),
            HINT = 'use lower-case letters, digits and _, and begin with a letter';
    END IF;
    IF mode IS NULL OR mode NOT IN ('full', 'incremental') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('there is no refresh mode %L', mode),
            HINT = 'the modes are full and incremental';
    END IF;
    SELECT j.name INTO other FROM pgscore.jobs AS j WHERE j.name = add_job.job OR j.target = add_job.target LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS002',
            MESSAGE = CASE WHEN other = job THEN format('refresh job %s exists already', job)
                           ELSE format('%s is the target of refresh job %s already', target, other) END,
            HINT = format('SELECT pgscore.drop_refresh(%L) drops it; its table stays', other);
    END IF;
    INSERT INTO pgscore.jobs (name, model_id, alias, source, key_columns, target, mode, owner)
    VALUES (job, add_job.model_id, add_job.alias, add_job.source, add_job.key_columns, add_job.target, add_job.mode, add_job.owner);
END
$function$;
COMMENT ON FUNCTION pgscore.add_job(text, integer, text, text, text[], text, text, text) IS
    'Writes down a refresh job that create_refresh has checked. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_run(
    job text, started_at timestamptz, version integer, rows_scored bigint, rows_inserted bigint, rows_updated bigint,
    rows_deleted bigint, rows_refused bigint, error text DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    INSERT INTO pgscore.runs (job_id, state, version, started_at, rows_scored, rows_inserted, rows_updated, rows_deleted,
                              rows_refused, error)
    SELECT j.job_id, CASE WHEN record_run.error IS NULL THEN 'done' ELSE 'failed' END, record_run.version,
           record_run.started_at, record_run.rows_scored, record_run.rows_inserted, record_run.rows_updated,
           record_run.rows_deleted, record_run.rows_refused, record_run.error
    FROM pgscore.job_of(record_run.job) AS j
    RETURNING run_id
$function$;
COMMENT ON FUNCTION pgscore.record_run(
    text, timestamptz, integer, bigint, bigint, bigint, bigint, bigint, text) IS
    'Writes down a run of a refresh job; with an error, a failed one. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.record_writing(job text, run_id bigint, written text, because text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    UPDATE pgscore.runs AS r
    SET written = record_writing.written, because = record_writing.because
    FROM pgscore.job_of(record_writing.job) AS j
    WHERE r.job_id = j.job_id AND r.run_id = record_writing.run_id
$function$;
COMMENT ON FUNCTION pgscore.record_writing(text, bigint, text, text) IS
    'Writes down how a run of a refresh job wrote its rows. Part of refresh';

CREATE OR REPLACE FUNCTION pgscore.writing_of(job text, run_id bigint)
RETURNS TABLE (written text, because text)
LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT r.written, r.because
    FROM pgscore.job_of(writing_of.job) AS j
    JOIN pgscore.runs AS r USING (job_id)
    WHERE r.run_id = writing_of.run_id
$function$;
COMMENT ON FUNCTION pgscore.writing_of(text, bigint) IS 'How a run of a refresh job wrote its rows, and why. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.without_values(message text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT regexp_replace(split_part(message, E'\n', 1), '(^|: |value |zone )".*|0x[0-9a-f].*', '\1…')
$function$;
COMMENT ON FUNCTION pgscore.without_values(text) IS
    'The first line of an error message, and not what PostgreSQL quotes in it: it may be the value of a row';

CREATE OR REPLACE FUNCTION pgscore.error_to_record(state text, message text, hint text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
    SELECT CASE
        WHEN state ~ '^PS' THEN concat_ws('; ', message, nullif(hint, ''))
        -- As connection.translate has it: what these quote, in any language, may be the value of a row.
        WHEN state ~ '^22' THEN format('%s (SQLSTATE %s)', split_part(regexp_replace(
            message, '["«»„“”‚‘’‹›「」].*["«»„“”‚‘’‹›「」]|0x[0-9a-f]{2}( 0x[0-9a-f]{2})*', '…', 'g'), ':', 1), state)
        ELSE format('%s (SQLSTATE %s)', pgscore.without_values(message), state)
    END
$function$;
COMMENT ON FUNCTION pgscore.error_to_record(text, text, text) IS 'What pgscore.runs keeps of an error. Part of run_job';

CREATE OR REPLACE FUNCTION pgscore.remove_job(job text)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
    DELETE FROM pgscore.jobs AS j USING pgscore.job_of(remove_job.job) AS mine WHERE j.job_id = mine.job_id
$function$;
COMMENT ON FUNCTION pgscore.remove_job(text) IS
    'Drops a refresh job and the record of its runs, and not what pg_cron has of it. Part of drop_refresh';
