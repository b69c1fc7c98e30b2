-- Who may do what. Each role is asked for all that it may, so that a right too many fails as one too few does.
BEGIN;
SELECT no_plan();
CREATE ROLE stranger;

CREATE FUNCTION pg_temp.callable(role name, schema name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT DISTINCT p.proname::text FROM pg_proc AS p
    WHERE p.pronamespace = schema::regnamespace AND has_function_privilege(role, p.oid, 'EXECUTE')
$$;
CREATE FUNCTION pg_temp.readable(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT c.relname::text FROM pg_class AS c
    WHERE c.relnamespace = 'pgscore'::regnamespace AND c.relkind IN ('r', 'v')
      AND has_table_privilege(role, c.oid, 'SELECT')
$$;
CREATE FUNCTION pg_temp.writable(role name) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT c.relname::text FROM pg_class AS c
    WHERE c.relnamespace IN ('pgscore'::regnamespace, 'score'::regnamespace) AND c.relkind IN ('r', 'v')
      AND has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
$$;

-- Everybody: nothing.
SELECT is_empty($$ SELECT pg_temp.callable('stranger', 'pgscore') $$, 'a stranger may call nothing of pgscore');
SELECT is_empty($$ SELECT pg_temp.callable('stranger', 'score') $$, 'a stranger may call no model');
SELECT is_empty($$ SELECT pg_temp.readable('stranger') $$, 'a stranger may read nothing');
SELECT schema_privs_are('pgscore', 'stranger', ARRAY[]::text[]);
SELECT schema_privs_are('score', 'stranger', ARRAY[]::text[]);

-- pgscore_scorer: the models, pgscore.score, and refresh jobs of its own.
SELECT schema_privs_are('score', 'pgscore_scorer', ARRAY['USAGE']);
SELECT schema_privs_are('pgscore', 'pgscore_scorer', ARRAY['USAGE']);
SELECT function_privs_are('score', 'churn', ARRAY['customers'], 'pgscore_scorer', ARRAY['EXECUTE']);
SELECT function_privs_are('score', 'churn_v1', ARRAY['customers'], 'pgscore_scorer', ARRAY['EXECUTE']);
SELECT function_privs_are('pgscore', 'score', ARRAY['text', 'jsonb'], 'pgscore_scorer', ARRAY['EXECUTE']);
SELECT function_privs_are('pgscore', 'promote', ARRAY['text', 'integer', 'text', 'text'], 'pgscore_scorer',
    ARRAY[]::text[]);
SELECT function_privs_are('pgscore', 'drop_model', ARRAY['text', 'text'], 'pgscore_scorer', ARRAY[]::text[]);
SELECT set_eq($$ SELECT pg_temp.readable('pgscore_scorer') $$, ARRAY['freshness', 'job_settings', 'challenger_overview', 'run_overview', 'rejected_overview', 'segment_sizes', 'segment_drift'],
    'a scorer reads how fresh predictions are and how challengers did, and nothing else: no model, no graph');
SELECT is_empty($$ SELECT pg_temp.writable('pgscore_scorer') $$, 'a scorer writes no table of ours');

-- pgscore_promoter: promote, rollback, aliases, and the overviews.
SELECT schema_privs_are('pgscore', 'pgscore_promoter', ARRAY['USAGE']);
SELECT schema_privs_are('score', 'pgscore_promoter', ARRAY[]::text[]);
SELECT set_eq($$ SELECT pg_temp.callable('pgscore_promoter', 'pgscore') $$,
    ARRAY['promote', 'rollback', 'drop_alias', 'grantees', 'backlog',
          'calls_version', 'functions_named', 'function_names',
          'prediction_ages', 'cron_runs', 'can_read_cron', 'without_values'],
    'a promoter moves and drops aliases, and reads');
SELECT is_empty($$ SELECT pg_temp.callable('pgscore_promoter', 'score') $$, 'a promoter may call no model');
SELECT set_eq($$ SELECT pg_temp.readable('pgscore_promoter') $$,
    ARRAY['model_overview', 'version_overview', 'history_overview', 'grant_overview', 'freshness', 'job_settings',
          'challenger_overview', 'run_overview', 'rejected_overview', 'segment_sizes', 'segment_drift'],
    'a promoter reads the overviews, and no table');
SELECT is_empty($$ SELECT pg_temp.writable('pgscore_promoter') $$, 'a promoter writes no table');

-- pgscore_deployer: versions, through functions of the owner; grants of models; never a table by hand.
SELECT schema_privs_are('pgscore', 'pgscore_deployer', ARRAY['USAGE']);
SELECT schema_privs_are('score', 'pgscore_deployer', ARRAY['USAGE']);
SELECT schema_privs_are('pgscore_staging', 'pgscore_deployer', ARRAY['CREATE', 'USAGE']);
SELECT set_eq($$ SELECT pg_temp.callable('pgscore_deployer', 'pgscore') $$,
    ARRAY['begin_version', 'add_graph', 'make_factors', 'add_factors', 'seal_factors', 'factors_sha256', 'publish_functions', 'add_version', 'drop_version', 'drop_model',
          'grant_model', 'revoke_model', 'grantees', 'backlog', 'score', 'resolve', 'warm_up', 'functions_to_warm', 'calls_version',
          'served_version', 'is_queued', 'live_query', 'compute_live',
          'functions_named', 'function_names',
          'prediction_ages', 'cron_runs', 'can_read_cron', 'without_values'],
    'a deployer makes, drops and grants versions, and does not promote');
SELECT is_empty($$ SELECT pg_temp.writable('pgscore_deployer') $$, 'a deployer writes no table');

-- pgscore_monitor: reads what there is and what happened.
SELECT schema_privs_are('pgscore', 'pgscore_monitor', ARRAY['USAGE']);
SELECT schema_privs_are('score', 'pgscore_monitor', ARRAY[]::text[]);
SELECT set_eq($$ SELECT pg_temp.callable('pgscore_monitor', 'pgscore') $$, 
    ARRAY['grantees', 'backlog', 'calls_version', 'functions_named', 'function_names',
          'prediction_ages', 'cron_runs', 'can_read_cron', 'without_values'],
    'a monitor only reads');
SELECT set_eq($$ SELECT pg_temp.readable('pgscore_monitor') $$,
    ARRAY['model_overview', 'version_overview', 'history_overview', 'grant_overview', 'freshness', 'job_settings', 'installation',
          'challenger_overview', 'run_overview', 'rejected_overview', 'segment_sizes', 'segment_drift', 'jobs', 'runs', 'costs'],
    'a monitor reads the overviews, jobs, runs and costs');
SELECT is_empty($$ SELECT pg_temp.writable('pgscore_monitor') $$, 'a monitor writes no table');

-- pgscore_sandbox: nothing; what a model in plpgsql computes runs as it.
SELECT is_empty($$ SELECT pg_temp.callable('pgscore_sandbox', 'pgscore') $$, 'the sandbox may call nothing of pgscore');
SELECT is_empty($$ SELECT pg_temp.readable('pgscore_sandbox') $$, 'the sandbox may read nothing');
SELECT is_empty($$ SELECT pg_temp.writable('pgscore_sandbox') $$, 'the sandbox may write nothing');

-- pgscore_owner: everything.
SELECT table_privs_are('pgscore', 'versions', 'pgscore_owner',
    ARRAY['DELETE', 'INSERT', 'REFERENCES', 'SELECT', 'TRIGGER', 'TRUNCATE', 'UPDATE']);
SELECT table_privs_are('pgscore', 'versions', 'pgscore_promoter', ARRAY[]::text[]);
SELECT table_privs_are('pgscore', 'costs', 'pgscore_deployer', ARRAY['SELECT']);
SELECT table_privs_are('pgscore', 'costs', 'pgscore_scorer', ARRAY[]::text[]);
SELECT table_privs_are('pgscore', 'versions', 'pgscore_scorer', ARRAY[]::text[]);
SELECT table_privs_are('pgscore', 'onnx_graphs', 'pgscore_scorer', ARRAY[]::text[]);

-- It is not only said: the server refuses.
SELECT throws_ok($$ SET LOCAL ROLE stranger; SELECT score.churn(1, 1.0) $$, '42501', NULL, 'a stranger cannot score');
SELECT lives_ok($$ SET LOCAL ROLE pgscore_scorer; SELECT score.churn(1, 1.0); RESET ROLE $$, 'a scorer can');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_scorer; SELECT * FROM pgscore.versions $$, '42501', NULL, 'a scorer cannot read a model');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_scorer; SELECT pgscore.promote('churn', 1) $$, '42501', NULL, 'a scorer cannot promote');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_promoter; UPDATE pgscore.aliases SET version_id = 1 $$, '42501', NULL,
    'a promoter cannot move an alias by hand');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_promoter; SELECT pgscore.drop_model('churn') $$, '42501', NULL, 'a promoter cannot drop');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_deployer; SELECT pgscore.promote('churn', 1) $$, '42501', NULL,
    'a deployer cannot promote');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_deployer; DELETE FROM pgscore.versions $$, '42501', NULL,
    'a deployer cannot delete a version by hand');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_monitor; SELECT score.churn(1, 1.0) $$, '42501', NULL, 'a monitor cannot score');

SELECT * FROM finish();
ROLLBACK;
