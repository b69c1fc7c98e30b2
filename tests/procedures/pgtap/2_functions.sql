-- What users call: in which language, how volatile, with whose rights.
BEGIN;
SELECT no_plan();

-- Run with the owner's rights: EXECUTE on them is the right to do it.
SELECT has_function('pgscore', 'promote', ARRAY['text', 'integer', 'text', 'text']);
SELECT has_function('pgscore', 'rollback', ARRAY['text', 'text', 'text']);
SELECT has_function('pgscore', 'drop_version', ARRAY['text', 'integer', 'text']);
SELECT has_function('pgscore', 'drop_model', ARRAY['text', 'text']);
SELECT is_definer('pgscore', 'promote', ARRAY['text', 'integer', 'text', 'text']);
SELECT is_definer('pgscore', 'rollback', ARRAY['text', 'text', 'text']);
SELECT is_definer('pgscore', 'drop_version', ARRAY['text', 'integer', 'text']);
SELECT is_definer('pgscore', 'drop_model', ARRAY['text', 'text']);
SELECT is_definer('pgscore', 'drop_alias', ARRAY['text', 'text', 'text']);
SELECT is_definer('pgscore', 'grant_model', ARRAY['text', 'name']);
SELECT is_definer('pgscore', 'revoke_model', ARRAY['text', 'name']);
SELECT is_definer('pgscore', 'remove_job', ARRAY['text']);
SELECT is_definer('pgscore', 'set_schedule', ARRAY['text', 'interval', 'interval']);
SELECT is_definer('pgscore', 'resolve', ARRAY['text']);
SELECT volatility_is('pgscore', 'promote', ARRAY['text', 'integer', 'text', 'text'], 'volatile');
SELECT volatility_is('pgscore', 'rollback', ARRAY['text', 'text', 'text'], 'volatile');
SELECT function_returns('pgscore', 'promote', ARRAY['text', 'integer', 'text', 'text'], 'integer');
SELECT function_returns('pgscore', 'rollback', ARRAY['text', 'text', 'text'], 'integer');

-- Run with the caller's rights: they reach no more than the caller does.
SELECT isnt_definer('pgscore', 'score', ARRAY['text', 'jsonb']);
SELECT isnt_definer('pgscore', 'create_refresh', 'create_refresh runs as its caller');
SELECT isnt_definer('pgscore', 'drop_refresh', ARRAY['text']);
SELECT isnt_definer('pgscore', 'prediction_ages', ARRAY['text']);
SELECT isnt_definer('pgscore', 'schedule', ARRAY['text', 'text']);
SELECT isnt_definer('pgscore', 'unschedule', ARRAY['text']);
SELECT isnt_definer('pgscore', 'cron_runs', ARRAY[]::text[]);
SELECT volatility_is('pgscore', 'score', ARRAY['text', 'jsonb'], 'stable');
SELECT is_procedure('pgscore', 'refresh', 'refresh is a procedure: CALL pgscore.refresh(JOB)');
SELECT is_procedure('pgscore', 'run_job', 'run_job is a procedure: CALL pgscore.run_job(JOB)');

-- A version's functions never change; the moving ones follow promote.
SELECT volatility_is('score', 'churn_v1', ARRAY['integer', 'double precision'], 'immutable');
SELECT volatility_is('score', 'churn_v1', ARRAY['customers'], 'immutable');
SELECT volatility_is('score', 'churn', ARRAY['integer', 'double precision'], 'stable');
SELECT volatility_is('score', 'churn', ARRAY['customers'], 'stable');
SELECT isnt_definer('score', 'churn', ARRAY['customers']);
SELECT function_lang_is('score', 'churn_v1', ARRAY['integer', 'double precision'], 'sql');
SELECT function_returns('score', 'churn', ARRAY['customers'], 'double precision');
SELECT function_owner_is('score', 'churn', ARRAY['customers'], 'pgscore_owner');

-- Nothing of ours can be led astray by a search_path.
SELECT is_empty(
    $$ SELECT p.oid::regprocedure FROM pg_proc AS p
       WHERE p.pronamespace = 'pgscore'::regnamespace
         AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
         -- It commits, which a SET would forbid: it sets the path in each transaction.
         AND p.proname <> 'run_job' $$,
    'every function of schema pgscore pins its search_path');
SELECT isnt_definer('pgscore', 'run_job', ARRAY[
    'text', 'bigint', 'bigint', 'bigint', 'integer', 'bigint', 'bigint', 'bigint', 'bigint', 'bigint', 'integer', 'text',
    'text']);
SELECT is_empty(
    $$ SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'score'::regnamespace AND p.prosecdef $$,
    'no function of a model runs with the owner''s rights');
SELECT is_empty(
    $$ SELECT p.oid::regprocedure FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
       WHERE p.pronamespace = 'score'::regnamespace AND l.lanname = 'sql' AND p.prosqlbody IS NULL $$,
    'the bodies of models in SQL were parsed when they were created');

SELECT * FROM finish();
ROLLBACK;
