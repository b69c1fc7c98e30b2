-- What is there: the schemas, the tables of the catalog and their keys, the views, the triggers.
BEGIN;
SELECT no_plan();

SELECT has_schema('pgscore');
SELECT has_schema('score');
SELECT schema_owner_is('pgscore', 'pgscore_owner');
SELECT schema_owner_is('score', 'pgscore_owner');

SELECT has_schema('pgscore_staging');
SELECT schema_owner_is('pgscore_staging', 'pgscore_owner');
SELECT has_role(role)
FROM unnest(ARRAY[
    'pgscore_owner', 'pgscore_deployer', 'pgscore_promoter', 'pgscore_scorer', 'pgscore_monitor', 'pgscore_sandbox'
]::name[]) AS role;
SELECT is_empty(
    $$ SELECT rolname FROM pg_roles WHERE rolname LIKE 'pgscore%' AND (rolcanlogin OR rolsuper OR rolcreaterole) $$,
    'no role of pgscore can log in, is a superuser or makes roles');

SELECT has_table('pgscore', name, format('table pgscore.%s is there', name))
FROM unnest(ARRAY[
    'installation', 'models', 'versions', 'aliases', 'history', 'onnx_graphs', 'parity_cases', 'costs', 'jobs', 'runs',
    'comparisons', 'target_forms', 'segments', 'builds'
]) AS name;
SELECT table_owner_is('pgscore', tablename, 'pgscore_owner', format('pgscore_owner owns %s', tablename))
FROM pg_tables WHERE schemaname = 'pgscore' ORDER BY tablename;

SELECT col_is_pk('pgscore', 'models', 'model_id', 'models has its key');
SELECT col_is_unique('pgscore', 'models', ARRAY['name']);
SELECT col_is_pk('pgscore', 'versions', 'version_id', 'versions has its key');
SELECT col_is_unique('pgscore', 'versions', ARRAY['model_id', 'version']);
SELECT col_is_pk('pgscore', 'aliases', ARRAY['model_id', 'alias'], 'a model has an alias once');
SELECT col_is_pk('pgscore', 'history', 'history_id', 'history has its key');
SELECT col_is_pk('pgscore', 'onnx_graphs', 'sha256', 'a graph is named by its content');
SELECT col_is_pk('pgscore', 'parity_cases', 'version_id', 'a version has its cases once');
SELECT col_is_pk('pgscore', 'jobs', 'job_id', 'jobs has its key');
SELECT col_is_unique('pgscore', 'jobs', ARRAY['name']);
SELECT col_is_unique('pgscore', 'jobs', ARRAY['target']);
SELECT col_is_pk('pgscore', 'runs', 'run_id', 'runs has its key');
SELECT col_is_pk('pgscore', 'comparisons', 'run_id', 'a run has one comparison');
SELECT col_is_pk('pgscore', 'target_forms', 'job_id', 'a job has one form of its target');
SELECT col_is_pk('pgscore', 'segments', ARRAY['run_id', 'segment'], 'a run counts each segment once');

SELECT fk_ok('pgscore', 'versions', 'model_id', 'pgscore', 'models', 'model_id');
SELECT fk_ok(
    'pgscore', 'aliases', ARRAY['model_id', 'version_id'], 'pgscore', 'versions', ARRAY['model_id', 'version_id'],
    'an alias points to a version of its own model');
SELECT fk_ok('pgscore', 'runs', 'job_id', 'pgscore', 'jobs', 'job_id');
SELECT fk_ok('pgscore', 'comparisons', 'run_id', 'pgscore', 'runs', 'run_id');
SELECT fk_ok('pgscore', 'target_forms', 'job_id', 'pgscore', 'jobs', 'job_id');
SELECT fk_ok('pgscore', 'segments', 'run_id', 'pgscore', 'runs', 'run_id');

SELECT has_view('pgscore', name, format('view pgscore.%s is there', name))
FROM unnest(ARRAY[
    'model_overview', 'version_overview', 'history_overview', 'grant_overview', 'freshness', 'challenger_overview',
    'segment_sizes', 'segment_drift'
]) AS name;

SELECT trigger_is('pgscore', 'history', 'history_is_append_only', 'pgscore', 'refuse_change');
SELECT trigger_is('pgscore', 'versions', 'versions_are_immutable', 'pgscore', 'refuse_change');
SELECT trigger_is('pgscore', 'parity_cases', 'parity_cases_are_immutable', 'pgscore', 'refuse_change');
SELECT trigger_is('pgscore', 'onnx_graphs', 'onnx_graphs_are_immutable', 'pgscore', 'refuse_change');
SELECT trigger_is('pgscore', 'models', 'models_names_are_apart', 'pgscore', 'refuse_ambiguous_name');
SELECT trigger_is('pgscore', 'models', 'models_of_jobs_stay', 'pgscore', 'keep_models_of_jobs');

SELECT * FROM finish();
ROLLBACK;
