-- What never changes, not even by the hand of the owner or of a superuser.
BEGIN;
SELECT no_plan();

SELECT throws_ok($$ UPDATE pgscore.history SET by = 'nobody' $$, 'PS002', NULL, 'history is not rewritten');
SELECT throws_ok($$ DELETE FROM pgscore.history $$, 'PS002', NULL, 'history is not deleted');
SELECT throws_ok($$ TRUNCATE pgscore.history $$, 'PS002', NULL, 'history is not emptied');
SELECT throws_ok($$ UPDATE pgscore.versions SET sql = '' $$, 'PS002', NULL, 'a version does not change');
SELECT throws_ok($$ TRUNCATE pgscore.versions CASCADE $$, 'PS002', NULL, 'versions are not emptied');
SELECT throws_ok($$ DELETE FROM pgscore.versions $$, 'PS002', NULL, 'a version is not deleted by hand');
SELECT throws_ok($$ UPDATE pgscore.parity_cases SET cases = '{}' $$, 'PS002', NULL, 'cases do not change');
SELECT throws_ok($$ TRUNCATE pgscore.parity_cases $$, 'PS002', NULL, 'the cases are not emptied');
SELECT throws_ok($$ UPDATE pgscore.onnx_graphs SET content = '' $$, 'PS002', NULL, 'a graph does not change');
SELECT throws_ok($$ TRUNCATE pgscore.onnx_graphs CASCADE $$, 'PS002', NULL, 'graphs are not emptied');
SELECT throws_ok(
    $$ SET LOCAL ROLE pgscore_owner; UPDATE pgscore.history SET note = 'x' $$, 'PS002', NULL,
    'the owner does not rewrite history either');

SELECT throws_ok(
    $$ INSERT INTO pgscore.onnx_graphs VALUES (repeat('0', 64), 'x') $$, '23514', NULL, 'a graph''s name is its hash');
SELECT throws_ok(
    $$ INSERT INTO pgscore.models (name) VALUES ('Churn; DROP TABLE x') $$, '23514', NULL, 'a model''s name is plain');
SELECT throws_ok(
    $$ INSERT INTO pgscore.models (name) VALUES ('churn_v2') $$, 'PS003', NULL,
    'no model is called like a function of another');
SELECT throws_ok(
    $$ UPDATE pgscore.aliases AS a SET version_id = (SELECT v.version_id FROM pgscore.versions AS v
                                                     JOIN pgscore.models AS m USING (model_id) WHERE m.name = 'other')
       WHERE a.model_id = (SELECT m.model_id FROM pgscore.models AS m WHERE m.name = 'churn') $$,
    '23503', NULL, 'an alias points to a version of its own model');
SELECT throws_ok(
    $$ INSERT INTO pgscore.installation (only_row, schema_version, pgscore_version) VALUES (false, 1, 'x') $$,
    '23514', NULL, 'one row says which version is installed');

SELECT * FROM finish();
ROLLBACK;
