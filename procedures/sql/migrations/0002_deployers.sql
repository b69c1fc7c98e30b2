-- From 0.1.0: deployers create versions without being the owner, history says of what and why, and an ONNX version has
-- functions of its own to run its graph, so that a model can be granted alone.

-- Functions that have other arguments or results by now.
DROP FUNCTION pgscore.promote(text, integer, text);
DROP FUNCTION pgscore.rollback(text, text);
DROP FUNCTION pgscore.move_alias(integer, text, integer, text);
DROP FUNCTION pgscore.drop_version(text, integer);
DROP FUNCTION pgscore.drop_model(text);
DROP FUNCTION pgscore.drop_functions(text[], text);
DROP FUNCTION pgscore.resolve(text);
DROP FUNCTION pgscore.version_to_run(text, text);
DROP FUNCTION pgscore.score_expression(regclass, record);
DROP FUNCTION pgscore.scores_in_batches(text, jsonb);
DROP FUNCTION pgscore.scoring_query(regclass, text[], record);
DROP FUNCTION pgscore.create_refresh(text, text, regclass, text[], text, text, text);
DROP FUNCTION pgscore.check_target(regclass, regclass, text[], text);
DROP PROCEDURE pgscore.refresh(text, bigint, integer, bigint, bigint, bigint, bigint, bigint);

ALTER TABLE pgscore.history
    DROP CONSTRAINT history_action_is_known,
    DROP CONSTRAINT history_moves_name_an_alias,
    ADD COLUMN sha256 text,
    ADD COLUMN parity jsonb,
    ADD CONSTRAINT history_action_is_known
        CHECK (action IN ('deploy', 'promote', 'rollback', 'unalias', 'drop', 'grant', 'revoke')),
    ADD CONSTRAINT history_moves_name_an_alias
        CHECK ((action IN ('promote', 'rollback', 'unalias')) = (alias IS NOT NULL));

-- The functions of ONNX versions called pgscore.onnx_row, which scorers may not call any more. Their graphs' inputs were
-- text, which refresh put into its query: without functions of their own for them, they are refreshed row by row.
DO $onnx$
DECLARE
    one record;
    name text;
    body CONSTANT text := 'BEGIN RETURN pgscore.%I(%L, %s); END';
BEGIN
    FOR one IN
        SELECT format('%s_v%s', m.name, v.version) AS versioned, v.onnx_sha256
        FROM pgscore.versions AS v
        JOIN pgscore.models AS m USING (model_id)
        WHERE v.strategy = 'onnx'
    LOOP
        name := one.versioned || '_outputs';
        EXECUTE format(
            'CREATE FUNCTION score.%I(features double precision[]) RETURNS double precision[] LANGUAGE plpgsql IMMUTABLE STRICT'
            ' PARALLEL SAFE COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
            name, format(body, 'onnx_row', one.onnx_sha256, '$1'));
        EXECUTE format(
            'CREATE FUNCTION score.%I(features double precision[], output integer) RETURNS double precision[] LANGUAGE plpgsql IMMUTABLE STRICT'
            ' PARALLEL SAFE COST 1000000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
            name, format(body, 'onnx_batch', one.onnx_sha256, '$1, $2'));
        EXECUTE format('REVOKE ALL ON FUNCTION score.%I(double precision[]), score.%1$I(double precision[], integer) FROM PUBLIC', name);
        EXECUTE (
            SELECT string_agg(
                replace(
                    pg_get_functiondef(p.oid),
                    format('pgscore.onnx_row(%L::text, ', one.onnx_sha256),
                    format('score.%I(', name)),
                '; ')
            FROM pg_proc AS p
            WHERE p.pronamespace = 'score'::regnamespace AND p.proname ~ format('^%s(_[a-z]+)?$', one.versioned)
              AND p.prosqlbody IS NOT NULL);
    END LOOP;
END
$onnx$;

ALTER TABLE pgscore.versions
    DROP CONSTRAINT versions_graph_goes_with_onnx,
    DROP COLUMN features,
    ADD COLUMN condition text CONSTRAINT versions_condition_says_something CHECK (condition <> ''),
    ADD CONSTRAINT versions_onnx_has_a_graph CHECK (strategy <> 'onnx' OR onnx_sha256 IS NOT NULL),
    ADD CONSTRAINT versions_parameter_types_are_known CHECK (
        jsonb_array_length(parameters) = jsonb_array_length(jsonb_path_query_array(parameters,
            'strict $[*] ? (@.type like_regex "^(integer|bigint|boolean|text|double precision)$")'))),
    ADD CONSTRAINT versions_results_are_known CHECK (
        jsonb_array_length(functions) = jsonb_array_length(jsonb_path_query_array(functions,
            'strict $[*] ? (@.suffix like_regex "^[a-z]*$"
                && @.result like_regex "^(integer|bigint|boolean|text|double precision)([[][]])?$")')));

-- Challengers of refresh jobs.
ALTER TABLE pgscore.jobs
    ADD COLUMN challenger text,
    ADD COLUMN canary double precision NOT NULL DEFAULT 0,
    ADD CONSTRAINT jobs_challenger_is_another_alias CHECK (challenger <> alias),
    ADD CONSTRAINT jobs_canary_is_a_share CHECK (canary BETWEEN 0 AND 1),
    ADD CONSTRAINT jobs_canary_has_a_challenger CHECK (canary = 0 OR challenger IS NOT NULL);

-- Incremental refresh jobs.
ALTER TABLE pgscore.jobs
    DROP CONSTRAINT jobs_mode_is_known,
    ADD CONSTRAINT jobs_mode_is_known CHECK (mode IN ('full', 'incremental'));

-- How runs write.
ALTER TABLE pgscore.runs
    ADD COLUMN written text CONSTRAINT runs_written_is_known CHECK (written IN ('difference', 'swap')),
    ADD COLUMN because text;

-- Declared freshness of refresh jobs.
ALTER TABLE pgscore.jobs
    ADD COLUMN target_lag interval,
    ADD COLUMN every interval,
    ADD CONSTRAINT jobs_target_lag_is_positive CHECK (target_lag > '0'),
    ADD CONSTRAINT jobs_every_is_positive CHECK (every > '0');

-- Limits of refresh jobs.
ALTER TABLE pgscore.jobs
    ADD COLUMN statement_timeout interval,
    ADD COLUMN lock_timeout interval,
    ADD COLUMN max_rows_per_second bigint,
    ADD CONSTRAINT jobs_statement_timeout_is_positive CHECK (statement_timeout > '0'),
    ADD CONSTRAINT jobs_lock_timeout_is_positive CHECK (lock_timeout > '0'),
    ADD CONSTRAINT jobs_max_rows_per_second_is_positive CHECK (max_rows_per_second > 0);

-- Live views of refresh jobs.
ALTER TABLE pgscore.jobs ADD COLUMN live boolean NOT NULL DEFAULT false;
