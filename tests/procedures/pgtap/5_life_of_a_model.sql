-- Promote, roll back, refresh and drop, from plain SQL. Versions 1 and 2 of churn are there, and 2 is live.
BEGIN;
SELECT no_plan();

SELECT is((SELECT live FROM pgscore.model_overview WHERE model = 'churn'), 2, 'version 2 is live');
SELECT is(score.churn(c), score.churn_v2(c), 'score.churn is version 2') FROM customers AS c WHERE id = 1;

SELECT is(pgscore.promote('churn', 1), 2, 'promote gives the version that was live');
SELECT is(score.churn(c), score.churn_v1(c), 'score.churn is version 1') FROM customers AS c WHERE id = 1;
SELECT is(pgscore.promote('churn', 1), 1, 'a second promote of the same changes nothing');
SELECT is(pgscore.rollback('churn'), 2, 'rollback gives the version that is live now');
SELECT is(score.churn(c), score.churn_v2(c), 'score.churn is version 2 again') FROM customers AS c WHERE id = 1;
SELECT results_eq(
    $$ SELECT action, from_version, to_version FROM pgscore.history_overview
       WHERE model = 'churn' AND alias = 'live' ORDER BY history_id DESC LIMIT 2 $$,
    $$ VALUES ('rollback', 1, 2), ('promote', 2, 1) $$,
    'the history has both');

SELECT is(pgscore.promote('churn', 1, 'champion'), NULL, 'another alias is made by the first promote');
SELECT is(
    pgscore.score('churn@champion', to_jsonb(c)), to_jsonb(score.churn_v1(c)), 'pgscore.score takes an alias')
FROM customers AS c WHERE id = 1;
SELECT is(pgscore.score('churn', to_jsonb(c)), to_jsonb(score.churn_v2(c)), 'pgscore.score takes the live version')
FROM customers AS c WHERE id = 1;

SELECT throws_ok($$ SELECT pgscore.promote('churn', 9) $$, 'PS001', 'model churn has no version 9');
SELECT throws_ok($$ SELECT pgscore.promote('nobody', 1) $$, 'PS001', 'there is no model ''nobody''');
SELECT throws_ok($$ SELECT pgscore.promote('churn', 1, 'No Name') $$, 'PS003', '''No Name'' is no name for an alias');
SELECT throws_ok($$ SELECT pgscore.rollback('other') $$, 'PS002', NULL, 'nothing to roll back to');
SELECT throws_ok($$ SELECT pgscore.score('churn', '{}') $$, 'PS004', NULL, 'an input that is missing is named');

-- What stores results of the moving name stops it from moving.
SELECT lives_ok($$ CREATE INDEX on_churn ON customers (score.churn(tenure, monthly)) $$, 'an index on score.churn');
SELECT throws_ok($$ SELECT pgscore.promote('churn', 1) $$, 'PS002', NULL, 'promote is refused beside the index');
SELECT lives_ok($$ DROP INDEX on_churn $$, 'without it');
SELECT lives_ok($$ SELECT pgscore.promote('churn', 1); SELECT pgscore.rollback('churn') $$, 'promote moves again');

SELECT lives_ok(
    $$ SELECT pgscore.create_refresh('daily', 'churn', 'customers', '{id}', 'public.churn_scores') $$, 'a job is made');
SELECT lives_ok($$ CALL pgscore.refresh('daily') $$, 'and runs');
SELECT results_eq(
    $$ SELECT id, score, model_version FROM churn_scores ORDER BY id $$,
    $$ SELECT id, score.churn_v2(c), 2 FROM customers AS c ORDER BY id $$,
    'the predictions are those of the live version');
SELECT is((SELECT state FROM pgscore.freshness WHERE job = 'daily'), 'fresh', 'the job is fresh');

SELECT throws_ok($$ SELECT pgscore.drop_version('churn', 2) $$, 'PS002', NULL, 'a live version is not dropped');
SELECT throws_ok($$ SELECT pgscore.drop_model('churn') $$, 'PS002', NULL, 'a model with a job is not dropped');
SELECT lives_ok($$ SELECT pgscore.drop_refresh('daily'); SELECT pgscore.drop_model('churn') $$, 'without it, it is');
SELECT hasnt_function('score', 'churn', 'its functions are gone');
SELECT isnt_empty($$ SELECT FROM pgscore.history_overview WHERE model = 'churn' $$, 'its history stays');

SELECT * FROM finish();
ROLLBACK;
