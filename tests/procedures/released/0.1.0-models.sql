\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE TABLE public.customers (id integer PRIMARY KEY, tenure integer, monthly numeric(8,2), plan text);
INSERT INTO public.customers VALUES
    (1, 1, 29.5, 'basic'),
    (2, 24, 80.25, 'full'),
    (3, 60, 19.75, 'basic'),
    (4, 3, 99.0, 'none'),
    (5, 12, 55.5, 'full');

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('churn', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- churn v1: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v1"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
    '14.944182173108247'::float8
    + "tenure"::float8 * '-0.4569025669374621'::float8
    + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.09388642330863127'::float8
  ), '-708.0'::float8), '708.0'::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v1"(integer, double precision) IS 'churn v1: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1"(public.customers) IS 'churn v1: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1"(public.customers) TO pgscore_scorer;

-- churn v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v1_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN CASE
    WHEN (
      '14.944182173108247'::float8
      + "tenure"::float8 * '-0.4569025669374621'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.09388642330863127'::float8
    ) > '0.0'::float8 THEN '1'::bigint
    ELSE '0'::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v1_label"(integer, double precision) IS 'churn v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1_label"(public.customers) IS 'churn v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_label"(public.customers) TO pgscore_scorer;

-- churn v1: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v1_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN ARRAY[
    '1.0'::float8
    - (
      '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
        '14.944182173108247'::float8
        + "tenure"::float8 * '-0.4569025669374621'::float8
        + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.09388642330863127'::float8
      ), '-708.0'::float8), '708.0'::float8)))
    ),
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
      '14.944182173108247'::float8
      + "tenure"::float8 * '-0.4569025669374621'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.09388642330863127'::float8
    ), '-708.0'::float8), '708.0'::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v1_proba"(integer, double precision) IS 'churn v1: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1_proba"(public.customers) IS 'churn v1: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 1,
    'LogisticRegression',
    'binary classifier',
    'sql',
    '7 operations are small enough to plan in every query (inline SQL: about 0.4 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict_proba(X)[:, 1]", "result": "double precision", "language": "sql", "outputs": [2], "labels": null}, {"suffix": "label", "method": "predict(X)", "result": "bigint", "language": "sql", "outputs": [0], "labels": [0, 1]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "sql", "outputs": [1, 2], "labels": null}]'::jsonb,
    NULL,
    NULL,
    '-- churn v1: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v1"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
    ''14.944182173108247''::float8
    + "tenure"::float8 * ''-0.4569025669374621''::float8
    + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09388642330863127''::float8
  ), ''-708.0''::float8), ''708.0''::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v1"(integer, double precision) IS ''churn v1: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1"(public.customers) IS ''churn v1: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1"(public.customers) TO pgscore_scorer;

-- churn v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v1_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN CASE
    WHEN (
      ''14.944182173108247''::float8
      + "tenure"::float8 * ''-0.4569025669374621''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09388642330863127''::float8
    ) > ''0.0''::float8 THEN ''1''::bigint
    ELSE ''0''::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v1_label"(integer, double precision) IS ''churn v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1_label"(public.customers) IS ''churn v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_label"(public.customers) TO pgscore_scorer;

-- churn v1: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v1_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ARRAY[
    ''1.0''::float8
    - (
      ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
        ''14.944182173108247''::float8
        + "tenure"::float8 * ''-0.4569025669374621''::float8
        + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09388642330863127''::float8
      ), ''-708.0''::float8), ''708.0''::float8)))
    ),
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
      ''14.944182173108247''::float8
      + "tenure"::float8 * ''-0.4569025669374621''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09388642330863127''::float8
    ), ''-708.0''::float8), ''708.0''::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v1_proba"(integer, double precision) IS ''churn v1: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v1_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v1_proba"(public.customers) IS ''churn v1: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v1_proba"(public.customers) TO pgscore_scorer;
',
    '6b6dacc15d2c6f3808c5d505b7437351cdeb2a0b6e264f874846afa9870d7af3',
    'bcb07ca7f2fe0c43a109ebd47bcbd128b72709e9a6e022b623c5a56e0c78eb4c',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 105, "real_rows": 5, "adversarial_rows": 100, "refused_rows": 14, "functions": {"": {"method": "predict_proba(X)[:, 1]", "rows": 105, "mismatches": 0, "max_difference": 2.8741459409819456e-15, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 105, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 105, "mismatches": 0, "max_difference": 2.8741459409819456e-15, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'churn';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, '{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, null, 24, 3, 60, 3, 24, 24, 1, 60, 24, null, 24, 60, 1, 24, 1, 1, 24, 24, 3, null, 24, 3, 60, 24, 12, 3, 60, 1, 1, -2147483648, 60, 60, 3, 12, 24, 12, 24, 24, 24, 0, 12, 60, 1, 1, 1, 60, 12, 24, 3, null, 60, 24, 24, 3, 24, 1, 60, 60, 24, null, 24, 24, 1, 1, 12, 24, 1, 1, 12, -2147483648, 1, 60], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", "1e+300", "29.5", "99.0", "19.75", "19.75", "19.75", "19.75", "19.75", "55.5", "99.0", null, "55.5", "80.25", "29.5", "55.5", "29.5", "80.25", "19.75", "29.5", "99.0", null, "99.0", "80.25", "99.0", "80.25", "80.25", "99.0", "19.75", "80.25", "80.25", null, "19.75", "80.25", "55.5", "19.75", "29.5", "19.75", "19.75", "55.5", "19.75", null, "80.25", "29.5", "80.25", "19.75", "19.75", "19.75", "80.25", "19.75", "55.5", null, "55.5", "99.0", "80.25", "99.0", "80.25", "80.25", "19.75", "19.75", "80.25", "-3.5e+38", "80.25", "99.0", "55.5", "80.25", "29.5", "80.25", "99.0", "19.75", "80.25", null, "29.5", "55.5"]}, "answers": {"": [null, "0.9859454504776689", "0.9999967375300898", "0.9999967375300898", "0.9999796787882996", "0.027763823248192585", "0.027763823248192585", "3.529383390917541e-10", null, "1.0", "0.0", "0.9999407381586006", "0.9999064183928436", "0.9999624720952494", null, null, null, null, "0.0", "1.0", "0.0", "1.0", "0.9999222046710833", "0.9999222046710833", "0.9999222046710833", "0.9999222046710833", "0.9999222046710833", null, "0.7700991385335295", "0.9863290727511997", "6.012654588027104e-07", "0.9999918641126718", "0.8932392112590094", "0.8932392112590094", "0.9999967375300898", "2.095961475382399e-08", "0.004887205905373955", null, "0.22580081453248682", "2.05219206372926e-09", "0.9999918511868527", "0.22580081453248682", "0.9999918511868527", "0.9990450480604703", "0.8932392112590094", "0.7700991385335295", "0.9863290727511997", null, "0.004887205905373955", "0.9976219391556814", "3.529383390917541e-10", "0.027763823248192585", "0.8729132103477477", "0.9863290727511997", "6.012654588027104e-07", "0.9990450480604703", "0.9990450480604703", null, "6.012654588027104e-07", "2.05219206372926e-09", "0.9997666593946993", "0.999503333259797", "0.7700991385335295", "0.999503333259797", "0.8932392112590094", "0.22580081453248682", "0.8932392112590094", null, "0.8729132103477477", "2.4072236704946123e-07", "0.9990450480604703", "0.9999967375300898", "0.9999967375300898", "6.012654588027104e-07", "0.8729132103477477", "0.8932392112590094", "0.9997666593946993", null, "2.095961475382399e-08", "0.004887205905373955", "0.027763823248192585", "0.9863290727511997", "0.027763823248192585", "0.9990450480604703", "6.012654588027104e-07", "6.012654588027104e-07", "0.027763823248192585", null, "0.027763823248192585", "0.004887205905373955", "0.9999064183928436", "0.9990450480604703", "0.9987603699383957", "0.027763823248192585", "0.9944727577268411", "0.9999967375300898", "0.8729132103477477", null, "0.9999918511868527", "2.095961475382399e-08"], "label": [null, 1, 1, 1, 1, 0, 0, 0, null, 1, 0, 1, 1, 1, null, null, null, null, 0, 1, 0, 1, 1, 1, 1, 1, 1, null, 1, 1, 0, 1, 1, 1, 1, 0, 0, null, 0, 0, 1, 0, 1, 1, 1, 1, 1, null, 0, 1, 0, 0, 1, 1, 0, 1, 1, null, 0, 0, 1, 1, 1, 1, 1, 0, 1, null, 1, 0, 1, 1, 1, 0, 1, 1, 1, null, 0, 0, 0, 1, 0, 1, 0, 0, 0, null, 0, 0, 1, 1, 1, 0, 1, 1, 1, null, 1, 0], "proba": [null, ["0.014054549522331095", "0.9859454504776689"], ["3.262469910225718e-06", "0.9999967375300898"], ["3.262469910225718e-06", "0.9999967375300898"], ["2.0321211700369268e-05", "0.9999796787882996"], ["0.9722361767518074", "0.027763823248192585"], ["0.9722361767518074", "0.027763823248192585"], ["0.9999999996470617", "3.529383390917541e-10"], null, ["0.0", "1.0"], ["1.0", "0.0"], ["5.926184139937174e-05", "0.9999407381586006"], ["9.358160715644548e-05", "0.9999064183928436"], ["3.7527904750644936e-05", "0.9999624720952494"], null, null, null, null, ["1.0", "0.0"], ["0.0", "1.0"], ["1.0", "0.0"], ["0.0", "1.0"], ["7.779532891671881e-05", "0.9999222046710833"], ["7.779532891671881e-05", "0.9999222046710833"], ["7.779532891671881e-05", "0.9999222046710833"], ["7.779532891671881e-05", "0.9999222046710833"], ["7.779532891671881e-05", "0.9999222046710833"], null, ["0.22990086146647049", "0.7700991385335295"], ["0.013670927248800258", "0.9863290727511997"], ["0.9999993987345412", "6.012654588027104e-07"], ["8.135887328175606e-06", "0.9999918641126718"], ["0.1067607887409906", "0.8932392112590094"], ["0.1067607887409906", "0.8932392112590094"], ["3.262469910225718e-06", "0.9999967375300898"], ["0.9999999790403853", "2.095961475382399e-08"], ["0.995112794094626", "0.004887205905373955"], null, ["0.7741991854675132", "0.22580081453248682"], ["0.9999999979478079", "2.05219206372926e-09"], ["8.14881314725735e-06", "0.9999918511868527"], ["0.7741991854675132", "0.22580081453248682"], ["8.14881314725735e-06", "0.9999918511868527"], ["0.000954951939529658", "0.9990450480604703"], ["0.1067607887409906", "0.8932392112590094"], ["0.22990086146647049", "0.7700991385335295"], ["0.013670927248800258", "0.9863290727511997"], null, ["0.995112794094626", "0.004887205905373955"], ["0.0023780608443185747", "0.9976219391556814"], ["0.9999999996470617", "3.529383390917541e-10"], ["0.9722361767518074", "0.027763823248192585"], ["0.12708678965225229", "0.8729132103477477"], ["0.013670927248800258", "0.9863290727511997"], ["0.9999993987345412", "6.012654588027104e-07"], ["0.000954951939529658", "0.9990450480604703"], ["0.000954951939529658", "0.9990450480604703"], null, ["0.9999993987345412", "6.012654588027104e-07"], ["0.9999999979478079", "2.05219206372926e-09"], ["0.00023334060530066925", "0.9997666593946993"], ["0.000496666740202989", "0.999503333259797"], ["0.22990086146647049", "0.7700991385335295"], ["0.000496666740202989", "0.999503333259797"], ["0.1067607887409906", "0.8932392112590094"], ["0.7741991854675132", "0.22580081453248682"], ["0.1067607887409906", "0.8932392112590094"], null, ["0.12708678965225229", "0.8729132103477477"], ["0.999999759277633", "2.4072236704946123e-07"], ["0.000954951939529658", "0.9990450480604703"], ["3.262469910225718e-06", "0.9999967375300898"], ["3.262469910225718e-06", "0.9999967375300898"], ["0.9999993987345412", "6.012654588027104e-07"], ["0.12708678965225229", "0.8729132103477477"], ["0.1067607887409906", "0.8932392112590094"], ["0.00023334060530066925", "0.9997666593946993"], null, ["0.9999999790403853", "2.095961475382399e-08"], ["0.995112794094626", "0.004887205905373955"], ["0.9722361767518074", "0.027763823248192585"], ["0.013670927248800258", "0.9863290727511997"], ["0.9722361767518074", "0.027763823248192585"], ["0.000954951939529658", "0.9990450480604703"], ["0.9999993987345412", "6.012654588027104e-07"], ["0.9999993987345412", "6.012654588027104e-07"], ["0.9722361767518074", "0.027763823248192585"], null, ["0.9722361767518074", "0.027763823248192585"], ["0.995112794094626", "0.004887205905373955"], ["9.358160715644548e-05", "0.9999064183928436"], ["0.000954951939529658", "0.9990450480604703"], ["0.0012396300616043243", "0.9987603699383957"], ["0.9722361767518074", "0.027763823248192585"], ["0.005527242273158928", "0.9944727577268411"], ["3.262469910225718e-06", "0.9999967375300898"], ["0.12708678965225229", "0.8729132103477477"], null, ["8.14881314725735e-06", "0.9999918511868527"], ["0.9999999790403853", "2.095961475382399e-08"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'churn' AND v.version = 1;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 1 FROM pgscore.models AS m WHERE m.name = 'churn';

-- Version 1 becomes live.
SELECT pgscore.promote('churn', 1, 'live');

COMMIT;

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('churn', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- churn v2: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v2"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
    '8.344381958368798'::float8
    + "tenure"::float8 * '-0.24917740835093385'::float8
    + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '-0.05114909138212931'::float8
  ), '-708.0'::float8), '708.0'::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v2"(integer, double precision) IS 'churn v2: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2"(public.customers) IS 'churn v2: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2"(public.customers) TO pgscore_scorer;

-- churn v2: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v2_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN CASE
    WHEN (
      '8.344381958368798'::float8
      + "tenure"::float8 * '-0.24917740835093385'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '-0.05114909138212931'::float8
    ) > '0.0'::float8 THEN '1'::bigint
    ELSE '0'::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v2_label"(integer, double precision) IS 'churn v2: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2_label"(public.customers) IS 'churn v2: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_label"(public.customers) TO pgscore_scorer;

-- churn v2: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v2_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN ARRAY[
    '1.0'::float8
    - (
      '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
        '8.344381958368798'::float8
        + "tenure"::float8 * '-0.24917740835093385'::float8
        + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '-0.05114909138212931'::float8
      ), '-708.0'::float8), '708.0'::float8)))
    ),
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
      '8.344381958368798'::float8
      + "tenure"::float8 * '-0.24917740835093385'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '-0.05114909138212931'::float8
    ), '-708.0'::float8), '708.0'::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v2_proba"(integer, double precision) IS 'churn v2: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2_proba"(public.customers) IS 'churn v2: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v2_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 2,
    'LogisticRegression',
    'binary classifier',
    'sql',
    '7 operations are small enough to plan in every query (inline SQL: about 0.4 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict_proba(X)[:, 1]", "result": "double precision", "language": "sql", "outputs": [2], "labels": null}, {"suffix": "label", "method": "predict(X)", "result": "bigint", "language": "sql", "outputs": [0], "labels": [0, 1]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "sql", "outputs": [1, 2], "labels": null}]'::jsonb,
    NULL,
    NULL,
    '-- churn v2: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v2"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
    ''8.344381958368798''::float8
    + "tenure"::float8 * ''-0.24917740835093385''::float8
    + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''-0.05114909138212931''::float8
  ), ''-708.0''::float8), ''708.0''::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v2"(integer, double precision) IS ''churn v2: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2"(public.customers) IS ''churn v2: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2"(public.customers) TO pgscore_scorer;

-- churn v2: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v2_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN CASE
    WHEN (
      ''8.344381958368798''::float8
      + "tenure"::float8 * ''-0.24917740835093385''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''-0.05114909138212931''::float8
    ) > ''0.0''::float8 THEN ''1''::bigint
    ELSE ''0''::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v2_label"(integer, double precision) IS ''churn v2: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2_label"(public.customers) IS ''churn v2: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_label"(public.customers) TO pgscore_scorer;

-- churn v2: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v2_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ARRAY[
    ''1.0''::float8
    - (
      ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
        ''8.344381958368798''::float8
        + "tenure"::float8 * ''-0.24917740835093385''::float8
        + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''-0.05114909138212931''::float8
      ), ''-708.0''::float8), ''708.0''::float8)))
    ),
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
      ''8.344381958368798''::float8
      + "tenure"::float8 * ''-0.24917740835093385''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''-0.05114909138212931''::float8
    ), ''-708.0''::float8), ''708.0''::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v2_proba"(integer, double precision) IS ''churn v2: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v2_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v2_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v2_proba"(public.customers) IS ''churn v2: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v2_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v2_proba"(public.customers) TO pgscore_scorer;
',
    '8bbf851b772396859bf1dea5041b769dd71d0957d8ac1e937106f56c4b8527a3',
    '7ddb8e7e859e92470721214370c34e36e1ff216be7e15aae4b6bf67f7761bcfd',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 105, "real_rows": 5, "adversarial_rows": 100, "refused_rows": 14, "functions": {"": {"method": "predict_proba(X)[:, 1]", "rows": 105, "mismatches": 0, "max_difference": 6.609011186399329e-16, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 105, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 105, "mismatches": 0, "max_difference": 6.609011186399329e-16, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'churn';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, '{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, null, 24, 3, 60, 3, 24, 24, 1, 60, 24, null, 24, 60, 1, 24, 1, 1, 24, 24, 3, null, 24, 3, 60, 24, 12, 3, 60, 1, 1, -2147483648, 60, 60, 3, 12, 24, 12, 24, 24, 24, 0, 12, 60, 1, 1, 1, 60, 12, 24, 3, null, 60, 24, 24, 3, 24, 1, 60, 60, 24, null, 24, 24, 1, 1, 12, 24, 1, 1, 12, -2147483648, 1, 60], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", "1e+300", "29.5", "99.0", "19.75", "19.75", "19.75", "19.75", "19.75", "55.5", "99.0", null, "55.5", "80.25", "29.5", "55.5", "29.5", "80.25", "19.75", "29.5", "99.0", null, "99.0", "80.25", "99.0", "80.25", "80.25", "99.0", "19.75", "80.25", "80.25", null, "19.75", "80.25", "55.5", "19.75", "29.5", "19.75", "19.75", "55.5", "19.75", null, "80.25", "29.5", "80.25", "19.75", "19.75", "19.75", "80.25", "19.75", "55.5", null, "55.5", "99.0", "80.25", "99.0", "80.25", "80.25", "19.75", "19.75", "80.25", "-3.5e+38", "80.25", "99.0", "55.5", "80.25", "29.5", "80.25", "99.0", "19.75", "80.25", null, "29.5", "55.5"]}, "answers": {"": [null, "0.9252198207287728", "0.9991631345148418", "0.9991631345148418", "0.9977350871987642", "0.14923795505188808", "0.14923795505188808", "8.546137463946468e-06", null, "1.0", "0.0", "0.9959525291349844", "0.9948131583809412", "0.9968424137146138", null, null, null, null, "0.0", "1.0", "0.0", "1.0", "0.9952942490693534", "0.9952942490693534", "0.9952942490693534", "0.9952942490693534", "0.9952942490693534", null, "0.7016622569599361", "0.9264292182789184", "0.0004920406321515198", "0.9986232544645419", "0.7947713277125557", "0.7947713277125557", "0.9991631345148418", "7.907480993877166e-05", "0.06299484484020935", null, "0.3835161453149758", "2.2298315406365158e-05", "0.9986227748000276", "0.3835161453149758", "0.9986227748000276", "0.9818450448613438", "0.7947713277125557", "0.7016622569599361", "0.9264292182789184", null, "0.06299484484020935", "0.9704631601608676", "8.546137463946468e-06", "0.14923795505188808", "0.7772199587185948", "0.9264292182789184", "0.0004920406321515198", "0.9818450448613438", "0.9818450448613438", null, "0.0004920406321515198", "2.2298315406365158e-05", "0.9914909132520459", "0.9871826898214192", "0.7016622569599361", "0.9871826898214192", "0.7947713277125557", "0.3835161453149758", "0.7947713277125557", null, "0.7772199587185948", "0.00029888261137918696", "0.9818450448613438", "0.9991631345148418", "0.9991631345148418", "0.0004920406321515198", "0.7772199587185948", "0.7947713277125557", "0.9914909132520459", null, "7.907480993877166e-05", "0.06299484484020935", "0.14923795505188808", "0.9264292182789184", "0.14923795505188808", "0.9818450448613438", "0.0004920406321515198", "0.0004920406321515198", "0.14923795505188808", null, "0.14923795505188808", "0.06299484484020935", "0.9948131583809412", "0.9818450448613438", "0.9790686732563831", "0.14923795505188808", "0.9539746384117002", "0.9991631345148418", "0.7772199587185948", null, "0.9986227748000276", "7.907480993877166e-05"], "label": [null, 1, 1, 1, 1, 0, 0, 0, null, 1, 0, 1, 1, 1, null, null, null, null, 0, 1, 0, 1, 1, 1, 1, 1, 1, null, 1, 1, 0, 1, 1, 1, 1, 0, 0, null, 0, 0, 1, 0, 1, 1, 1, 1, 1, null, 0, 1, 0, 0, 1, 1, 0, 1, 1, null, 0, 0, 1, 1, 1, 1, 1, 0, 1, null, 1, 0, 1, 1, 1, 0, 1, 1, 1, null, 0, 0, 0, 1, 0, 1, 0, 0, 0, null, 0, 0, 1, 1, 1, 0, 1, 1, 1, null, 1, 0], "proba": [null, ["0.07478017927122715", "0.9252198207287728"], ["0.0008368654851581558", "0.9991631345148418"], ["0.0008368654851581558", "0.9991631345148418"], ["0.0022649128012357522", "0.9977350871987642"], ["0.8507620449481119", "0.14923795505188808"], ["0.8507620449481119", "0.14923795505188808"], ["0.9999914538625361", "8.546137463946468e-06"], null, ["0.0", "1.0"], ["1.0", "0.0"], ["0.004047470865015557", "0.9959525291349844"], ["0.005186841619058802", "0.9948131583809412"], ["0.0031575862853862047", "0.9968424137146138"], null, null, null, null, ["1.0", "0.0"], ["0.0", "1.0"], ["1.0", "0.0"], ["0.0", "1.0"], ["0.004705750930646624", "0.9952942490693534"], ["0.004705750930646624", "0.9952942490693534"], ["0.004705750930646624", "0.9952942490693534"], ["0.004705750930646624", "0.9952942490693534"], ["0.004705750930646624", "0.9952942490693534"], null, ["0.2983377430400639", "0.7016622569599361"], ["0.07357078172108156", "0.9264292182789184"], ["0.9995079593678485", "0.0004920406321515198"], ["0.0013767455354580793", "0.9986232544645419"], ["0.20522867228744435", "0.7947713277125557"], ["0.20522867228744435", "0.7947713277125557"], ["0.0008368654851581558", "0.9991631345148418"], ["0.9999209251900613", "7.907480993877166e-05"], ["0.9370051551597907", "0.06299484484020935"], null, ["0.6164838546850242", "0.3835161453149758"], ["0.9999777016845937", "2.2298315406365158e-05"], ["0.0013772251999724094", "0.9986227748000276"], ["0.6164838546850242", "0.3835161453149758"], ["0.0013772251999724094", "0.9986227748000276"], ["0.01815495513865617", "0.9818450448613438"], ["0.20522867228744435", "0.7947713277125557"], ["0.2983377430400639", "0.7016622569599361"], ["0.07357078172108156", "0.9264292182789184"], null, ["0.9370051551597907", "0.06299484484020935"], ["0.029536839839132356", "0.9704631601608676"], ["0.9999914538625361", "8.546137463946468e-06"], ["0.8507620449481119", "0.14923795505188808"], ["0.22278004128140516", "0.7772199587185948"], ["0.07357078172108156", "0.9264292182789184"], ["0.9995079593678485", "0.0004920406321515198"], ["0.01815495513865617", "0.9818450448613438"], ["0.01815495513865617", "0.9818450448613438"], null, ["0.9995079593678485", "0.0004920406321515198"], ["0.9999777016845937", "2.2298315406365158e-05"], ["0.008509086747954142", "0.9914909132520459"], ["0.012817310178580787", "0.9871826898214192"], ["0.2983377430400639", "0.7016622569599361"], ["0.012817310178580787", "0.9871826898214192"], ["0.20522867228744435", "0.7947713277125557"], ["0.6164838546850242", "0.3835161453149758"], ["0.20522867228744435", "0.7947713277125557"], null, ["0.22278004128140516", "0.7772199587185948"], ["0.9997011173886208", "0.00029888261137918696"], ["0.01815495513865617", "0.9818450448613438"], ["0.0008368654851581558", "0.9991631345148418"], ["0.0008368654851581558", "0.9991631345148418"], ["0.9995079593678485", "0.0004920406321515198"], ["0.22278004128140516", "0.7772199587185948"], ["0.20522867228744435", "0.7947713277125557"], ["0.008509086747954142", "0.9914909132520459"], null, ["0.9999209251900613", "7.907480993877166e-05"], ["0.9370051551597907", "0.06299484484020935"], ["0.8507620449481119", "0.14923795505188808"], ["0.07357078172108156", "0.9264292182789184"], ["0.8507620449481119", "0.14923795505188808"], ["0.01815495513865617", "0.9818450448613438"], ["0.9995079593678485", "0.0004920406321515198"], ["0.9995079593678485", "0.0004920406321515198"], ["0.8507620449481119", "0.14923795505188808"], null, ["0.8507620449481119", "0.14923795505188808"], ["0.9370051551597907", "0.06299484484020935"], ["0.005186841619058802", "0.9948131583809412"], ["0.01815495513865617", "0.9818450448613438"], ["0.020931326743616863", "0.9790686732563831"], ["0.8507620449481119", "0.14923795505188808"], ["0.04602536158829984", "0.9539746384117002"], ["0.0008368654851581558", "0.9991631345148418"], ["0.22278004128140516", "0.7772199587185948"], null, ["0.0013772251999724094", "0.9986227748000276"], ["0.9999209251900613", "7.907480993877166e-05"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'churn' AND v.version = 2;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 2 FROM pgscore.models AS m WHERE m.name = 'churn';

-- Version 2 becomes live.
SELECT pgscore.promote('churn', 2, 'live');

COMMIT;

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('churn', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- churn v3: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v3"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
    '22.106464905947348'::float8
    + "tenure"::float8 * '-0.6812815469884268'::float8
    + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.14004512516030368'::float8
  ), '-708.0'::float8), '708.0'::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v3"(integer, double precision) IS 'churn v3: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3"(public.customers) IS 'churn v3: predict_proba(X)[:, 1] of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3"(public.customers) TO pgscore_scorer;

-- churn v3: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v3_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN CASE
    WHEN (
      '22.106464905947348'::float8
      + "tenure"::float8 * '-0.6812815469884268'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.14004512516030368'::float8
    ) > '0.0'::float8 THEN '1'::bigint
    ELSE '0'::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v3_label"(integer, double precision) IS 'churn v3: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3_label"(public.customers) IS 'churn v3: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_label"(public.customers) TO pgscore_scorer;

-- churn v3: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v3_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < 'Infinity'::float8
  THEN ARRAY[
    '1.0'::float8
    - (
      '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
        '22.106464905947348'::float8
        + "tenure"::float8 * '-0.6812815469884268'::float8
        + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.14004512516030368'::float8
      ), '-708.0'::float8), '708.0'::float8)))
    ),
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
      '22.106464905947348'::float8
      + "tenure"::float8 * '-0.6812815469884268'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.14004512516030368'::float8
    ), '-708.0'::float8), '708.0'::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v3_proba"(integer, double precision) IS 'churn v3: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3_proba"(public.customers) IS 'churn v3: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."churn_v3_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 3,
    'LogisticRegression',
    'binary classifier',
    'sql',
    '7 operations are small enough to plan in every query (inline SQL: about 0.4 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict_proba(X)[:, 1]", "result": "double precision", "language": "sql", "outputs": [2], "labels": null}, {"suffix": "label", "method": "predict(X)", "result": "bigint", "language": "sql", "outputs": [0], "labels": [0, 1]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "sql", "outputs": [1, 2], "labels": null}]'::jsonb,
    NULL,
    NULL,
    '-- churn v3: predict_proba(X)[:, 1] of LogisticRegression
CREATE FUNCTION "score"."churn_v3"("tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
    ''22.106464905947348''::float8
    + "tenure"::float8 * ''-0.6812815469884268''::float8
    + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.14004512516030368''::float8
  ), ''-708.0''::float8), ''708.0''::float8)))
END;

COMMENT ON FUNCTION "score"."churn_v3"(integer, double precision) IS ''churn v3: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3"(public.customers) IS ''churn v3: predict_proba(X)[:, 1] of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3"(public.customers) TO pgscore_scorer;

-- churn v3: predict(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v3_label"("tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN CASE
    WHEN (
      ''22.106464905947348''::float8
      + "tenure"::float8 * ''-0.6812815469884268''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.14004512516030368''::float8
    ) > ''0.0''::float8 THEN ''1''::bigint
    ELSE ''0''::bigint
  END
END;

COMMENT ON FUNCTION "score"."churn_v3_label"(integer, double precision) IS ''churn v3: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3_label"(public.customers) IS ''churn v3: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_label"(public.customers) TO pgscore_scorer;

-- churn v3: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."churn_v3_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") < ''Infinity''::float8
  THEN ARRAY[
    ''1.0''::float8
    - (
      ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
        ''22.106464905947348''::float8
        + "tenure"::float8 * ''-0.6812815469884268''::float8
        + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.14004512516030368''::float8
      ), ''-708.0''::float8), ''708.0''::float8)))
    ),
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
      ''22.106464905947348''::float8
      + "tenure"::float8 * ''-0.6812815469884268''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.14004512516030368''::float8
    ), ''-708.0''::float8), ''708.0''::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."churn_v3_proba"(integer, double precision) IS ''churn v3: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."churn_v3_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."churn_v3_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."churn_v3_proba"(public.customers) IS ''churn v3: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."churn_v3_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."churn_v3_proba"(public.customers) TO pgscore_scorer;
',
    'd1b5913f3a972ee581e28da677b0e09f88f0e3b57cac66d916e83752e423087f',
    'cde968d7ab7621452a2d7ae8ed70b6fd4adbac234fb793070ac2836f6b243dfa',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 105, "real_rows": 5, "adversarial_rows": 100, "refused_rows": 14, "functions": {"": {"method": "predict_proba(X)[:, 1]", "rows": 105, "mismatches": 0, "max_difference": 8.271093628040386e-16, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 105, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 105, "mismatches": 0, "max_difference": 3.5012071027568792e-15, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'churn';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, '{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, null, 24, 3, 60, 3, 24, 24, 1, 60, 24, null, 24, 60, 1, 24, 1, 1, 24, 24, 3, null, 24, 3, 60, 24, 12, 3, 60, 1, 1, -2147483648, 60, 60, 3, 12, 24, 12, 24, 24, 24, 0, 12, 60, 1, 1, 1, 60, 12, 24, 3, null, 60, 24, 24, 3, 24, 1, 60, 60, 24, null, 24, 24, 1, 1, 12, 24, 1, 1, 12, -2147483648, 1, 60], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", "1e+300", "29.5", "99.0", "19.75", "19.75", "19.75", "19.75", "19.75", "55.5", "99.0", null, "55.5", "80.25", "29.5", "55.5", "29.5", "80.25", "19.75", "29.5", "99.0", null, "99.0", "80.25", "99.0", "80.25", "80.25", "99.0", "19.75", "80.25", "80.25", null, "19.75", "80.25", "55.5", "19.75", "29.5", "19.75", "19.75", "55.5", "19.75", null, "80.25", "29.5", "80.25", "19.75", "19.75", "19.75", "80.25", "19.75", "55.5", null, "55.5", "99.0", "80.25", "99.0", "80.25", "80.25", "19.75", "19.75", "80.25", "-3.5e+38", "80.25", "99.0", "55.5", "80.25", "29.5", "80.25", "99.0", "19.75", "80.25", null, "29.5", "55.5"]}, "answers": {"": [null, "0.9978892140495551", "0.9999999921227908", "0.9999999921227908", "0.9999998794606032", "0.004139989205249491", "0.004139989205249491", "6.711893424471261e-15", null, "1.0", "0.0", "0.9999994045575267", "0.9999988231628381", "0.999999698724982", null, null, null, null, "0.0", "1.0", "0.0", "1.0", "0.9999991091477365", "0.9999991091477365", "0.9999991091477365", "0.9999991091477365", "0.9999991091477365", null, "0.8353978304298041", "0.9979709427297929", "4.4350185315139496e-10", "0.9999999692301055", "0.9521119467676182", "0.9521119467676182", "0.9999999921227908", "2.9685949384283265e-12", "0.0003008013555998335", null, "0.11745062868755955", "9.273325883295479e-14", "0.9999999691414568", "0.11745062868755955", "0.9999999691414568", "0.9999623282370425", "0.9521119467676182", "0.8353978304298041", "0.9979709427297929", null, "0.0003008013555998335", "0.999852862953847", "6.711893424471261e-15", "0.004139989205249491", "0.9365805568170501", "0.9979709427297929", "4.4350185315139496e-10", "0.9999623282370425", "0.9999623282370425", null, "4.4350185315139496e-10", "9.273325883295479e-14", "0.9999954030633204", "0.9999858416963922", "0.8353978304298041", "0.9999858416963922", "0.9521119467676182", "0.11745062868755955", "0.9521119467676182", null, "0.9365805568170501", "1.1321198222687789e-10", "0.9999623282370425", "0.9999999921227908", "0.9999999921227908", "4.4350185315139496e-10", "0.9365805568170501", "0.9521119467676182", "0.9999954030633204", null, "2.9685949384283265e-12", "0.0003008013555998335", "0.004139989205249491", "0.9979709427297929", "0.004139989205249491", "0.9999623282370425", "4.4350185315139496e-10", "4.4350185315139496e-10", "0.004139989205249491", null, "0.004139989205249491", "0.0003008013555998335", "0.9999988231628381", "0.9999623282370425", "0.9999445378977888", "0.004139989205249491", "0.9994797683345519", "0.9999999921227908", "0.9365805568170501", null, "0.9999999691414568", "2.9685949384283265e-12"], "label": [null, 1, 1, 1, 1, 0, 0, 0, null, 1, 0, 1, 1, 1, null, null, null, null, 0, 1, 0, 1, 1, 1, 1, 1, 1, null, 1, 1, 0, 1, 1, 1, 1, 0, 0, null, 0, 0, 1, 0, 1, 1, 1, 1, 1, null, 0, 1, 0, 0, 1, 1, 0, 1, 1, null, 0, 0, 1, 1, 1, 1, 1, 0, 1, null, 1, 0, 1, 1, 1, 0, 1, 1, 1, null, 0, 0, 0, 1, 0, 1, 0, 0, 0, null, 0, 0, 1, 1, 1, 0, 1, 1, 1, null, 1, 0], "proba": [null, ["0.0021107859504448934", "0.9978892140495551"], ["7.877209218243308e-09", "0.9999999921227908"], ["7.877209218243308e-09", "0.9999999921227908"], ["1.2053939679734782e-07", "0.9999998794606032"], ["0.9958600107947505", "0.004139989205249491"], ["0.9958600107947505", "0.004139989205249491"], ["0.9999999999999933", "6.711893424471261e-15"], null, ["0.0", "1.0"], ["1.0", "0.0"], ["5.954424733278785e-07", "0.9999994045575267"], ["1.176837161942501e-06", "0.9999988231628381"], ["3.012750180442225e-07", "0.999999698724982"], null, null, null, null, ["1.0", "0.0"], ["0.0", "1.0"], ["1.0", "0.0"], ["0.0", "1.0"], ["8.908522635131533e-07", "0.9999991091477365"], ["8.908522635131533e-07", "0.9999991091477365"], ["8.908522635131533e-07", "0.9999991091477365"], ["8.908522635131533e-07", "0.9999991091477365"], ["8.908522635131533e-07", "0.9999991091477365"], null, ["0.1646021695701959", "0.8353978304298041"], ["0.0020290572702070797", "0.9979709427297929"], ["0.9999999995564981", "4.4350185315139496e-10"], ["3.076989452122092e-08", "0.9999999692301055"], ["0.047888053232381766", "0.9521119467676182"], ["0.047888053232381766", "0.9521119467676182"], ["7.877209218243308e-09", "0.9999999921227908"], ["0.9999999999970314", "2.9685949384283265e-12"], ["0.9996991986444002", "0.0003008013555998335"], null, ["0.8825493713124405", "0.11745062868755955"], ["0.9999999999999073", "9.273325883295479e-14"], ["3.085854316520198e-08", "0.9999999691414568"], ["0.8825493713124405", "0.11745062868755955"], ["3.085854316520198e-08", "0.9999999691414568"], ["3.767176295754737e-05", "0.9999623282370425"], ["0.047888053232381766", "0.9521119467676182"], ["0.1646021695701959", "0.8353978304298041"], ["0.0020290572702070797", "0.9979709427297929"], null, ["0.9996991986444002", "0.0003008013555998335"], ["0.00014713704615298973", "0.999852862953847"], ["0.9999999999999933", "6.711893424471261e-15"], ["0.9958600107947505", "0.004139989205249491"], ["0.0634194431829499", "0.9365805568170501"], ["0.0020290572702070797", "0.9979709427297929"], ["0.9999999995564981", "4.4350185315139496e-10"], ["3.767176295754737e-05", "0.9999623282370425"], ["3.767176295754737e-05", "0.9999623282370425"], null, ["0.9999999995564981", "4.4350185315139496e-10"], ["0.9999999999999073", "9.273325883295479e-14"], ["4.596936679646113e-06", "0.9999954030633204"], ["1.4158303607847422e-05", "0.9999858416963922"], ["0.1646021695701959", "0.8353978304298041"], ["1.4158303607847422e-05", "0.9999858416963922"], ["0.047888053232381766", "0.9521119467676182"], ["0.8825493713124405", "0.11745062868755955"], ["0.047888053232381766", "0.9521119467676182"], null, ["0.0634194431829499", "0.9365805568170501"], ["0.999999999886788", "1.1321198222687789e-10"], ["3.767176295754737e-05", "0.9999623282370425"], ["7.877209218243308e-09", "0.9999999921227908"], ["7.877209218243308e-09", "0.9999999921227908"], ["0.9999999995564981", "4.4350185315139496e-10"], ["0.0634194431829499", "0.9365805568170501"], ["0.047888053232381766", "0.9521119467676182"], ["4.596936679646113e-06", "0.9999954030633204"], null, ["0.9999999999970314", "2.9685949384283265e-12"], ["0.9996991986444002", "0.0003008013555998335"], ["0.9958600107947505", "0.004139989205249491"], ["0.0020290572702070797", "0.9979709427297929"], ["0.9958600107947505", "0.004139989205249491"], ["3.767176295754737e-05", "0.9999623282370425"], ["0.9999999995564981", "4.4350185315139496e-10"], ["0.9999999995564981", "4.4350185315139496e-10"], ["0.9958600107947505", "0.004139989205249491"], null, ["0.9958600107947505", "0.004139989205249491"], ["0.9996991986444002", "0.0003008013555998335"], ["1.176837161942501e-06", "0.9999988231628381"], ["3.767176295754737e-05", "0.9999623282370425"], ["5.546210221119008e-05", "0.9999445378977888"], ["0.9958600107947505", "0.004139989205249491"], ["0.0005202316654481232", "0.9994797683345519"], ["7.877209218243308e-09", "0.9999999921227908"], ["0.0634194431829499", "0.9365805568170501"], null, ["3.085854316520198e-08", "0.9999999691414568"], ["0.9999999999970314", "2.9685949384283265e-12"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'churn' AND v.version = 3;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 3 FROM pgscore.models AS m WHERE m.name = 'churn';

-- Version 3 becomes live.
SELECT pgscore.promote('churn', 3, 'live');

COMMIT;

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('plan', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < 'Infinity'::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  RETURN '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
      '14.958164162731913'::float8
      + $2::float8 * '-0.45599029110037276'::float8
      + ($3 + '1e-306'::float8 - '1e-306'::float8) * '-0.09416691464999283'::float8
      + CASE $1
        WHEN 'basic' THEN '0.00029560000823478316'::float8
        WHEN 'full' THEN '-0.013654043528334967'::float8
        WHEN 'none' THEN '0.013735098600685943'::float8
        ELSE '0.0'::float8
      END
    ), '-708.0'::float8), '708.0'::float8)));
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1"(text, integer, double precision) IS 'plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1"(public.customers) IS 'plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1"(public.customers) TO pgscore_scorer;

-- plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1_label"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < 'Infinity'::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  RETURN CASE
      WHEN (
        '14.958164162731913'::float8
        + $2::float8 * '-0.45599029110037276'::float8
        + ($3 + '1e-306'::float8 - '1e-306'::float8) * '-0.09416691464999283'::float8
        + CASE $1
          WHEN 'basic' THEN '0.00029560000823478316'::float8
          WHEN 'full' THEN '-0.013654043528334967'::float8
          WHEN 'none' THEN '0.013735098600685943'::float8
          ELSE '0.0'::float8
        END
      ) > '0.0'::float8 THEN '1'::bigint
      ELSE '0'::bigint
    END;
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) IS 'plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1_label"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1_label"(public.customers) IS 'plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_label"(public.customers) TO pgscore_scorer;

-- plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1_proba"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
  p1 double precision;
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < 'Infinity'::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  p1 := '1.0'::float8 / ('1.0'::float8 + exp(least(greatest(- (
    '14.958164162731913'::float8
    + $2::float8 * '-0.45599029110037276'::float8
    + ($3 + '1e-306'::float8 - '1e-306'::float8) * '-0.09416691464999283'::float8
    + CASE $1
      WHEN 'basic' THEN '0.00029560000823478316'::float8
      WHEN 'full' THEN '-0.013654043528334967'::float8
      WHEN 'none' THEN '0.013735098600685943'::float8
      ELSE '0.0'::float8
    END
  ), '-708.0'::float8), '708.0'::float8)));
  RETURN ARRAY['1.0'::float8 - p1, p1]::float8[];
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) IS 'plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1_proba"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1_proba"(public.customers) IS 'plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)';
REVOKE ALL ON FUNCTION "score"."plan_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 1,
    'Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)',
    'binary classifier',
    'plpgsql',
    'asked for; auto would take sql: 18 operations are small enough to plan in every query (inline SQL: about 0.7 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "plan", "type": "text", "column": "plan"}, {"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict_proba(X)[:, 1]", "result": "double precision", "language": "plpgsql", "outputs": [2], "labels": null}, {"suffix": "label", "method": "predict(X)", "result": "bigint", "language": "plpgsql", "outputs": [0], "labels": [0, 1]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "plpgsql", "outputs": [1, 2], "labels": null}]'::jsonb,
    NULL,
    NULL,
    '-- plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < ''Infinity''::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  RETURN ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
      ''14.958164162731913''::float8
      + $2::float8 * ''-0.45599029110037276''::float8
      + ($3 + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09416691464999283''::float8
      + CASE $1
        WHEN ''basic'' THEN ''0.00029560000823478316''::float8
        WHEN ''full'' THEN ''-0.013654043528334967''::float8
        WHEN ''none'' THEN ''0.013735098600685943''::float8
        ELSE ''0.0''::float8
      END
    ), ''-708.0''::float8), ''708.0''::float8)));
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1"(text, integer, double precision) IS ''plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1"(r public.customers)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1"(public.customers) IS ''plan v1: predict_proba(X)[:, 1] of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1"(public.customers) TO pgscore_scorer;

-- plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1_label"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < ''Infinity''::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  RETURN CASE
      WHEN (
        ''14.958164162731913''::float8
        + $2::float8 * ''-0.45599029110037276''::float8
        + ($3 + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09416691464999283''::float8
        + CASE $1
          WHEN ''basic'' THEN ''0.00029560000823478316''::float8
          WHEN ''full'' THEN ''-0.013654043528334967''::float8
          WHEN ''none'' THEN ''0.013735098600685943''::float8
          ELSE ''0.0''::float8
        END
      ) > ''0.0''::float8 THEN ''1''::bigint
      ELSE ''0''::bigint
    END;
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) IS ''plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_label"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1_label"(r public.customers)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1_label"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1_label"(public.customers) IS ''plan v1: predict(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_label"(public.customers) TO pgscore_scorer;

-- plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)
CREATE FUNCTION "score"."plan_v1_proba"("plan" text, "tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $body$
DECLARE
  p1 double precision;
BEGIN
  IF ($2 IS NOT NULL
    AND abs($3) < ''Infinity''::float8) IS NOT TRUE THEN
    RETURN NULL;
  END IF;
  p1 := ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest(- (
    ''14.958164162731913''::float8
    + $2::float8 * ''-0.45599029110037276''::float8
    + ($3 + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.09416691464999283''::float8
    + CASE $1
      WHEN ''basic'' THEN ''0.00029560000823478316''::float8
      WHEN ''full'' THEN ''-0.013654043528334967''::float8
      WHEN ''none'' THEN ''0.013735098600685943''::float8
      ELSE ''0.0''::float8
    END
  ), ''-708.0''::float8), ''708.0''::float8)));
  RETURN ARRAY[''1.0''::float8 - p1, p1]::float8[];
END
$body$;

COMMENT ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) IS ''plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_proba"(text, integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."plan_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."plan_v1_proba"("plan" => (r)."plan", "tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."plan_v1_proba"(public.customers) IS ''plan v1: predict_proba(X) of Pipeline(ColumnTransformer(OneHotEncoder), LogisticRegression)'';
REVOKE ALL ON FUNCTION "score"."plan_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."plan_v1_proba"(public.customers) TO pgscore_scorer;
',
    '7b8253a0484d98b52f24c5bddace5420da05bf4f8115873530be8131fd287b1f',
    '1f5acc4d92f3c2db516ea2324a1066bd863867c37d8a6ed7cae32644457fd21c',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 155, "real_rows": 5, "adversarial_rows": 150, "refused_rows": 12, "functions": {"": {"method": "predict_proba(X)[:, 1]", "rows": 155, "mismatches": 0, "max_difference": 2.6049022365676155e-15, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 155, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 155, "mismatches": 0, "max_difference": 2.6049022365676155e-15, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'plan';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, E'{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "plan", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"plan": [null, "basic", "full", "none", "basic", "full", "none", "basic", "basic", "basic", "basic", "basic", "basic", "basic", null, "", "never seen before", "it''s \\"quoted\\" \\\\ back", "\\u2603\\ud83d\\udca9", "basic", "full", "none", "basic ", " basic", "BASIC", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none", "full", "basic", "none"], "tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 2147483647, 1, 24, 1, 24, 24, 24, 12, 60, 3, 1, 3, 1, 24, 24, 24, 24, 24, 60, 24, 60, 1, 3, 1, 12, 1, 24, 24, 24, 1, 1, 1, 60, 24, 3, 24, 1, 12, 24, 60, 1, 60, 1, 24, 60, 1, 3, 1, 1, 1, null, 12, 1, 1, 24, 24, 12, 1, 24, 12, 12, 24], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", null, "80.25", "19.75", "99.0", "99.0", "80.25", "19.75", "80.25", "80.25", "80.25", "29.5", "99.0", "55.5", "55.5", "99.0", "99.0", "80.25", "29.5", "19.75", "19.75", null, "99.0", "55.5", "80.25", "19.75", "80.25", "19.75", "19.75", "80.25", "29.5", null, "19.75", "19.75", "80.25", "55.5", "99.0", "55.5", "80.25", "80.25", "80.25", null, "29.5", "29.5", "80.25", "19.75", "80.25", "80.25", "99.0", "55.5", "55.5", "19.75", "55.5", "99.0", "55.5", "80.25", "80.25", "55.5", "80.25", "55.5", "19.75", "-inf", "55.5"]}, "answers": {"": [null, "0.9860786502919536", "0.9999967234730076", "0.9999968119961644", "0.99997985561668", "0.02775608098013493", "0.0285048334552752", "3.6779983440140424e-10", null, "1.0", "0.0", "0.9999406616850327", "0.9999063830714143", "0.9999623893725328", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.986074591846215", "0.9860786502919536", "0.9858858517544313", "0.9862619414868075", "0.986074591846215", "0.986074591846215", "0.986074591846215", null, null, null, null, "0.0", "1.0", "0.0", "1.0", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", "0.9999241423598427", null, "0.9990508689264567", "0.8948197323200138", "0.9944031842436728", "0.004994592843902419", "0.02775608098013493", "0.8961254238148362", "0.8746946030849451", "2.1201006995542886e-09", "0.9976088670436754", "0.9999920153768543", "0.9859919316254295", "0.9999063830714143", "0.23180778113601216", "0.004860307484068622", "0.004928245663082148", "0.0285048334552752", "0.7725592870171881", "6.406677095426623e-07", "0.897369791415525", null, "0.9944031842436728", "0.9997701065333565", "0.9990245394739184", "0.9995130099244769", "0.9990508689264567", "0.8948197323200138", "0.8961254238148362", "0.0285048334552752", "0.999991793664272", null, "0.9999968119961644", "6.317926747191266e-07", "0.028135011722390604", "0.9997701065333565", "0.004860307484068622", "0.9999063830714143", "0.8746946030849451", "0.02775608098013493", "2.1498825889385707e-09", null, "2.5225342973177865e-07", "0.9999919073440642", "0.0285048334552752", "6.317926747191266e-07", "0.9990380393328051", "0.9976407123824698", "0.9943250097402139", "0.9999063830714143", "0.9999076327037559", null, "0.9860786502919536", "0.9944774868334114", "0.9999050681223934", "0.028135011722390604", "0.0285048334552752", "0.9858858517544313", "0.9990380393328051", "0.23180778113601216", "0.9995061723613494", null, "0.23180778113601216"], "label": [null, 1, 1, 1, 1, 0, 0, 0, null, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, null, null, null, null, 0, 1, 0, 1, 1, 1, 1, 1, 1, null, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, null, 1, 1, 1, 1, 1, 1, 1, 0, 1, null, 1, 0, 0, 1, 0, 1, 1, 0, 0, null, 0, 1, 0, 0, 1, 1, 1, 1, 1, null, 1, 1, 1, 0, 0, 1, 1, 0, 1, null, 0], "proba": [null, ["0.013921349708046371", "0.9860786502919536"], ["3.2765269923906715e-06", "0.9999967234730076"], ["3.1880038355858176e-06", "0.9999968119961644"], ["2.014438331998658e-05", "0.99997985561668"], ["0.9722439190198651", "0.02775608098013493"], ["0.9714951665447248", "0.0285048334552752"], ["0.9999999996322002", "3.6779983440140424e-10"], null, ["0.0", "1.0"], ["1.0", "0.0"], ["5.933831496729436e-05", "0.9999406616850327"], ["9.361692858567139e-05", "0.9999063830714143"], ["3.7610627467210556e-05", "0.9999623893725328"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013921349708046371", "0.9860786502919536"], ["0.01411414824556867", "0.9858858517544313"], ["0.013738058513192541", "0.9862619414868075"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], ["0.013925408153784957", "0.986074591846215"], null, null, null, null, ["1.0", "0.0"], ["0.0", "1.0"], ["1.0", "0.0"], ["0.0", "1.0"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], ["7.585764015727303e-05", "0.9999241423598427"], null, ["0.00094913107354333", "0.9990508689264567"], ["0.10518026767998623", "0.8948197323200138"], ["0.0055968157563272", "0.9944031842436728"], ["0.9950054071560975", "0.004994592843902419"], ["0.9722439190198651", "0.02775608098013493"], ["0.10387457618516382", "0.8961254238148362"], ["0.12530539691505493", "0.8746946030849451"], ["0.9999999978798993", "2.1201006995542886e-09"], ["0.0023911329563246486", "0.9976088670436754"], ["7.984623145662617e-06", "0.9999920153768543"], ["0.01400806837457047", "0.9859919316254295"], ["9.361692858567139e-05", "0.9999063830714143"], ["0.7681922188639878", "0.23180778113601216"], ["0.9951396925159314", "0.004860307484068622"], ["0.9950717543369179", "0.004928245663082148"], ["0.9714951665447248", "0.0285048334552752"], ["0.22744071298281188", "0.7725592870171881"], ["0.9999993593322904", "6.406677095426623e-07"], ["0.10263020858447502", "0.897369791415525"], null, ["0.0055968157563272", "0.9944031842436728"], ["0.00022989346664348265", "0.9997701065333565"], ["0.0009754605260815508", "0.9990245394739184"], ["0.00048699007552310825", "0.9995130099244769"], ["0.00094913107354333", "0.9990508689264567"], ["0.10518026767998623", "0.8948197323200138"], ["0.10387457618516382", "0.8961254238148362"], ["0.9714951665447248", "0.0285048334552752"], ["8.206335727956038e-06", "0.999991793664272"], null, ["3.1880038355858176e-06", "0.9999968119961644"], ["0.9999993682073253", "6.317926747191266e-07"], ["0.9718649882776094", "0.028135011722390604"], ["0.00022989346664348265", "0.9997701065333565"], ["0.9951396925159314", "0.004860307484068622"], ["9.361692858567139e-05", "0.9999063830714143"], ["0.12530539691505493", "0.8746946030849451"], ["0.9722439190198651", "0.02775608098013493"], ["0.9999999978501174", "2.1498825889385707e-09"], null, ["0.9999997477465703", "2.5225342973177865e-07"], ["8.092655935820758e-06", "0.9999919073440642"], ["0.9714951665447248", "0.0285048334552752"], ["0.9999993682073253", "6.317926747191266e-07"], ["0.0009619606671948944", "0.9990380393328051"], ["0.002359287617530237", "0.9976407123824698"], ["0.005674990259786128", "0.9943250097402139"], ["9.361692858567139e-05", "0.9999063830714143"], ["9.236729624406692e-05", "0.9999076327037559"], null, ["0.013921349708046371", "0.9860786502919536"], ["0.005522513166588583", "0.9944774868334114"], ["9.49318776065633e-05", "0.9999050681223934"], ["0.9718649882776094", "0.028135011722390604"], ["0.9714951665447248", "0.0285048334552752"], ["0.01411414824556867", "0.9858858517544313"], ["0.0009619606671948944", "0.9990380393328051"], ["0.7681922188639878", "0.23180778113601216"], ["0.0004938276386505791", "0.9995061723613494"], null, ["0.7681922188639878", "0.23180778113601216"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'plan' AND v.version = 1;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 1 FROM pgscore.models AS m WHERE m.name = 'plan';

-- Version 1 becomes live.
SELECT pgscore.promote('plan', 1, 'live');

COMMIT;

\set ON_ERROR_STOP on
\encoding UTF8

BEGIN;

-- Nothing below depends on the session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

-- All that follows is pgscore_owner's.
SET LOCAL ROLE "pgscore_owner";

-- The model, and the number of its next version.
INSERT INTO pgscore.models AS m (name, last_version) VALUES ('tier', 1)
ON CONFLICT (name) DO UPDATE SET last_version = m.last_version + 1;

-- tier v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1"("tenure" integer, "monthly" double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= '7.046981506758566e+307'::float8
  THEN CASE
    WHEN (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) >= (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) AND (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) >= (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) THEN 'high'
    WHEN (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) >= (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) THEN 'low'
    ELSE 'mid'
  END
END;

COMMENT ON FUNCTION "score"."tier_v1"(integer, double precision) IS 'tier v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1"(r public.customers)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1"(public.customers) IS 'tier v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1"(public.customers) TO pgscore_scorer;

-- tier v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1_label"("tenure" integer, "monthly" double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= '7.046981506758566e+307'::float8
  THEN CASE
    WHEN (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) >= (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) AND (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) >= (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) THEN 'high'
    WHEN (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) >= (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) THEN 'low'
    ELSE 'mid'
  END
END;

COMMENT ON FUNCTION "score"."tier_v1_label"(integer, double precision) IS 'tier v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1_label"(r public.customers)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1_label"(public.customers) IS 'tier v1: predict(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_label"(public.customers) TO pgscore_scorer;

-- tier v1: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= '7.046981506758566e+307'::float8
  THEN ARRAY[
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest((
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) - (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ), '-708.0'::float8), '690.0'::float8)) + exp(least(greatest((
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) - (
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ), '-708.0'::float8), '690.0'::float8))),
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest((
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) - (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ), '-708.0'::float8), '690.0'::float8)) + exp(least(greatest((
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ) - (
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ), '-708.0'::float8), '690.0'::float8))),
    '1.0'::float8 / ('1.0'::float8 + exp(least(greatest((
      '0.7429044361303728'::float8
      + "tenure"::float8 * '0.28569479902413675'::float8
      + ("monthly" + '1e-306'::float8 - '1e-306'::float8) * '-0.12755057843831416'::float8
    ) - (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ), '-708.0'::float8), '690.0'::float8)) + exp(least(greatest((
      '1.432493232872508'::float8
      + "tenure"::float8 * '-0.47397869366137285'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.07565501011516414'::float8
    ) - (
      '-2.1753976690099424'::float8
      + "tenure"::float8 * '0.1882838945780922'::float8
      + ("monthly" + '1e-305'::float8 - '1e-305'::float8) * '0.05189556825682169'::float8
    ), '-708.0'::float8), '690.0'::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."tier_v1_proba"(integer, double precision) IS 'tier v1: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1_proba"(public.customers) IS 'tier v1: predict_proba(X) of LogisticRegression';
REVOKE ALL ON FUNCTION "score"."tier_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_proba"(public.customers) TO pgscore_scorer;

-- The version; from here on it never changes.
INSERT INTO pgscore.versions (model_id, version, estimator, kind, strategy, reason, bound_table, parameters, functions, onnx_sha256, features, sql, sha256, model_sha256, libraries, parity)
SELECT m.model_id, 1,
    'LogisticRegression',
    'multiclass classifier',
    'sql',
    '12 operations are small enough to plan in every query (inline SQL: about 0.5 µs a row, 0.2 ms of planning a query)',
    'public.customers',
    '[{"name": "tenure", "type": "integer", "column": "tenure"}, {"name": "monthly", "type": "double precision", "column": "monthly"}]'::jsonb,
    '[{"suffix": "", "method": "predict(X)", "result": "text", "language": "sql", "outputs": [0], "labels": ["high", "low", "mid"]}, {"suffix": "label", "method": "predict(X)", "result": "text", "language": "sql", "outputs": [0], "labels": ["high", "low", "mid"]}, {"suffix": "proba", "method": "predict_proba(X)", "result": "double precision[]", "language": "sql", "outputs": [1, 2, 3], "labels": null}]'::jsonb,
    NULL,
    NULL,
    '-- tier v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1"("tenure" integer, "monthly" double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= ''7.046981506758566e+307''::float8
  THEN CASE
    WHEN (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) >= (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) AND (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) >= (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) THEN ''high''
    WHEN (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) >= (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) THEN ''low''
    ELSE ''mid''
  END
END;

COMMENT ON FUNCTION "score"."tier_v1"(integer, double precision) IS ''tier v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1"(r public.customers)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1"(public.customers) IS ''tier v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1"(public.customers) TO pgscore_scorer;

-- tier v1: predict(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1_label"("tenure" integer, "monthly" double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= ''7.046981506758566e+307''::float8
  THEN CASE
    WHEN (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) >= (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) AND (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) >= (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) THEN ''high''
    WHEN (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) >= (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) THEN ''low''
    ELSE ''mid''
  END
END;

COMMENT ON FUNCTION "score"."tier_v1_label"(integer, double precision) IS ''tier v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1_label"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_label"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1_label"(r public.customers)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1_label"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1_label"(public.customers) IS ''tier v1: predict(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1_label"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_label"(public.customers) TO pgscore_scorer;

-- tier v1: predict_proba(X) of LogisticRegression
CREATE FUNCTION "score"."tier_v1_proba"("tenure" integer, "monthly" double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN "tenure" IS NOT NULL
    AND abs("monthly") <= ''7.046981506758566e+307''::float8
  THEN ARRAY[
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest((
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) - (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ), ''-708.0''::float8), ''690.0''::float8)) + exp(least(greatest((
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) - (
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ), ''-708.0''::float8), ''690.0''::float8))),
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest((
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) - (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ), ''-708.0''::float8), ''690.0''::float8)) + exp(least(greatest((
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ) - (
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ), ''-708.0''::float8), ''690.0''::float8))),
    ''1.0''::float8 / (''1.0''::float8 + exp(least(greatest((
      ''0.7429044361303728''::float8
      + "tenure"::float8 * ''0.28569479902413675''::float8
      + ("monthly" + ''1e-306''::float8 - ''1e-306''::float8) * ''-0.12755057843831416''::float8
    ) - (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ), ''-708.0''::float8), ''690.0''::float8)) + exp(least(greatest((
      ''1.432493232872508''::float8
      + "tenure"::float8 * ''-0.47397869366137285''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.07565501011516414''::float8
    ) - (
      ''-2.1753976690099424''::float8
      + "tenure"::float8 * ''0.1882838945780922''::float8
      + ("monthly" + ''1e-305''::float8 - ''1e-305''::float8) * ''0.05189556825682169''::float8
    ), ''-708.0''::float8), ''690.0''::float8)))
  ]::float8[]
END;

COMMENT ON FUNCTION "score"."tier_v1_proba"(integer, double precision) IS ''tier v1: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1_proba"(integer, double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_proba"(integer, double precision) TO pgscore_scorer;

-- The same for a row of public.customers
CREATE FUNCTION "score"."tier_v1_proba"(r public.customers)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN "score"."tier_v1_proba"("tenure" => (r)."tenure", "monthly" => ((r)."monthly")::double precision);

COMMENT ON FUNCTION "score"."tier_v1_proba"(public.customers) IS ''tier v1: predict_proba(X) of LogisticRegression'';
REVOKE ALL ON FUNCTION "score"."tier_v1_proba"(public.customers) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION "score"."tier_v1_proba"(public.customers) TO pgscore_scorer;
',
    '8b503550c960580b09c838f60765d22f1312c5404519c8bd1c949a6215a452da',
    'bcb07ca7f2fe0c43a109ebd47bcbd128b72709e9a6e022b623c5a56e0c78eb4c',
    '{"scikit-learn": "1.9"}'::jsonb,
    '{"rows": 105, "real_rows": 5, "adversarial_rows": 100, "refused_rows": 14, "functions": {"": {"method": "predict(X)", "rows": 105, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "label": {"method": "predict(X)", "rows": 105, "mismatches": 0, "max_difference": 0.0, "error": null, "columns": []}, "proba": {"method": "predict_proba(X)", "rows": 105, "mismatches": 0, "max_difference": 3.446627925936396e-15, "error": null, "columns": []}}, "notes": [], "tolerance": 1e-09, "passed": true}'::jsonb
FROM pgscore.models AS m WHERE m.name = 'tier';

-- The made-up rows that `pgscore verify` replays.
INSERT INTO pgscore.parity_cases (version_id, cases)
SELECT v.version_id, '{"varied": ["several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "tenure", "tenure", "tenure", "tenure", "tenure", "tenure", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "monthly", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns", "several columns"], "inputs": {"tenure": [null, 12, 1, 1, 3, 24, 24, 60, null, -2147483648, 2147483647, 0, 1, -1, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, null, 24, 3, 60, 3, 24, 24, 1, 60, 24, null, 24, 60, 1, 24, 1, 1, 24, 24, 3, null, 24, 3, 60, 24, 12, 3, 60, 1, 1, -2147483648, 60, 60, 3, 12, 24, 12, 24, 24, 24, 0, 12, 60, 1, 1, 1, 60, 12, 24, 3, null, 60, 24, 24, 3, 24, 1, 60, 60, 24, null, 24, 24, 1, 1, 12, 24, 1, 1, 12, -2147483648, 1, 60], "monthly": [null, "55.5", "19.75", "19.75", "29.5", "80.25", "80.25", "99.0", "55.5", "55.5", "55.5", "55.5", "55.5", "55.5", null, "nan", "inf", "-inf", "1e+300", "-1e+300", "3.5e+38", "-3.5e+38", "1e-300", "-1e-300", "0.0", "-0.0", "5e-324", "1e+300", "29.5", "99.0", "19.75", "19.75", "19.75", "19.75", "19.75", "55.5", "99.0", null, "55.5", "80.25", "29.5", "55.5", "29.5", "80.25", "19.75", "29.5", "99.0", null, "99.0", "80.25", "99.0", "80.25", "80.25", "99.0", "19.75", "80.25", "80.25", null, "19.75", "80.25", "55.5", "19.75", "29.5", "19.75", "19.75", "55.5", "19.75", null, "80.25", "29.5", "80.25", "19.75", "19.75", "19.75", "80.25", "19.75", "55.5", null, "55.5", "99.0", "80.25", "99.0", "80.25", "80.25", "19.75", "19.75", "80.25", "-3.5e+38", "80.25", "99.0", "55.5", "80.25", "29.5", "80.25", "99.0", "19.75", "80.25", null, "29.5", "55.5"]}, "answers": {"": [null, "mid", "low", "low", "low", "mid", "mid", "mid", null, "low", "high", "low", "low", "low", null, null, null, null, "low", "high", "low", "high", "high", "high", "high", "high", "high", null, "mid", "low", "high", "low", "high", "high", "low", "mid", "mid", null, "mid", "mid", "low", "mid", "low", "low", "high", "mid", "low", null, "mid", "low", "mid", "mid", "mid", "low", "high", "low", "low", null, "high", "mid", "low", "high", "mid", "high", "high", "mid", "high", null, "mid", "high", "low", "low", "low", "high", "mid", "high", "low", null, "mid", "mid", "mid", "low", "mid", "low", "high", "high", "mid", null, "mid", "mid", "low", "low", "mid", "mid", "low", "low", "mid", null, "low", "mid"], "label": [null, "mid", "low", "low", "low", "mid", "mid", "mid", null, "low", "high", "low", "low", "low", null, null, null, null, "low", "high", "low", "high", "high", "high", "high", "high", "high", null, "mid", "low", "high", "low", "high", "high", "low", "mid", "mid", null, "mid", "mid", "low", "mid", "low", "low", "high", "mid", "low", null, "mid", "low", "mid", "mid", "mid", "low", "high", "low", "low", null, "high", "mid", "low", "high", "mid", "high", "high", "mid", "high", null, "mid", "high", "low", "low", "low", "high", "mid", "high", "low", null, "mid", "mid", "mid", "low", "mid", "low", "high", "high", "mid", null, "mid", "mid", "low", "low", "mid", "mid", "low", "low", "mid", null, "low", "mid"], "proba": [null, ["0.0026789506340243207", "0.04637878860655638", "0.9509422607594193"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["0.011001150967731379", "0.9006647319610724", "0.08833411707119614"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["0.00012312194383319353", "2.1446440978756857e-15", "0.9998768780561647"], null, ["0.0", "1.0", "0.0"], ["1.0", "0.0", "0.0"], ["6.301450911377714e-06", "0.9927943994946503", "0.007199299054438275"], ["1.3379285294472529e-05", "0.9861197791643199", "0.01386684155038566"], ["2.9582640210657373e-06", "0.9962714813532861", "0.003725560382692855"], null, null, null, null, ["0.0", "1.0", "0.0"], ["1.0", "0.0", "0.0"], ["0.0", "1.0", "0.0"], ["1.0", "0.0", "0.0"], ["0.983279717811498", "0.00021532656837760443", "0.016504955620124228"], ["0.983279717811498", "0.00021532656837760443", "0.016504955620124228"], ["0.983279717811498", "0.00021532656837760443", "0.016504955620124228"], ["0.983279717811498", "0.00021532656837760443", "0.016504955620124228"], ["0.983279717811498", "0.00021532656837760443", "0.016504955620124228"], null, ["0.49062439519964895", "4.7370944826803335e-06", "0.5093708677058685"], ["8.817227771810247e-09", "0.9815358478078458", "0.01846414337492654"], ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["0.07307032917824233", "0.8249321028572676", "0.10199756796449005"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["0.23213322960428404", "5.859164880815158e-16", "0.7678667703957154"], ["3.6930536700198398e-06", "4.848390599670676e-05", "0.9999478230403333"], null, ["0.00898552155339731", "1.7093614652930486e-05", "0.9909973848319497"], ["0.0035487778934704425", "1.3689610874232609e-15", "0.9964512221065283"], ["0.002598478666283012", "0.97204909437831", "0.025352426955407098"], ["0.00898552155339731", "1.7093614652930486e-05", "0.9909973848319497"], ["0.002598478666283012", "0.97204909437831", "0.025352426955407098"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], ["0.49062439519964895", "4.7370944826803335e-06", "0.5093708677058685"], ["8.817227771810247e-09", "0.9815358478078458", "0.01846414337492654"], null, ["3.6930536700198398e-06", "4.848390599670676e-05", "0.9999478230403333"], ["3.940595964379672e-07", "0.97146806846091", "0.02853153747949368"], ["0.00012312194383319353", "2.1446440978756857e-15", "0.9998768780561647"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["3.0508094097391567e-05", "0.08072046329810972", "0.919249028607793"], ["8.817227771810247e-09", "0.9815358478078458", "0.01846414337492654"], ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], null, ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["0.0035487778934704425", "1.3689610874232609e-15", "0.9964512221065283"], ["5.8876677140062145e-05", "0.9497209862835284", "0.050220137039331474"], ["0.6277387017794905", "0.007606029274448178", "0.3646552689460613"], ["0.49062439519964895", "4.7370944826803335e-06", "0.5093708677058685"], ["0.6277387017794905", "0.007606029274448178", "0.3646552689460613"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], ["0.00898552155339731", "1.7093614652930486e-05", "0.9909973848319497"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], null, ["3.0508094097391567e-05", "0.08072046329810972", "0.919249028607793"], ["0.9698013795526447", "1.2423772570651402e-17", "0.03019862044735524"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["3.0508094097391567e-05", "0.08072046329810972", "0.919249028607793"], ["0.8471078228466932", "1.127856142225005e-06", "0.15289104929716463"], ["5.8876677140062145e-05", "0.9497209862835284", "0.050220137039331474"], null, ["0.23213322960428404", "5.859164880815158e-16", "0.7678667703957154"], ["3.6930536700198398e-06", "4.848390599670676e-05", "0.9999478230403333"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["8.817227771810247e-09", "0.9815358478078458", "0.01846414337492654"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["0.9946158384582606", "1.7570259437946003e-18", "0.005384161541739349"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], null, ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["3.6930536700198398e-06", "4.848390599670676e-05", "0.9999478230403333"], ["1.3379285294472529e-05", "0.9861197791643199", "0.01386684155038566"], ["8.808674749680196e-08", "0.992250229987597", "0.007749681925655432"], ["0.2257644235999622", "0.019837296531036795", "0.7543982798690011"], ["0.00010680270282138301", "3.1051797190278096e-05", "0.9998621454999883"], ["1.9562066454665705e-09", "0.995022376535012", "0.0049776215087812496"], ["0.01842270082643004", "0.9503300285478262", "0.031247270625743867"], ["3.0508094097391567e-05", "0.08072046329810972", "0.919249028607793"], null, ["0.002598478666283012", "0.97204909437831", "0.025352426955407098"], ["0.23213322960428404", "5.859164880815158e-16", "0.7678667703957154"]]}}'::jsonb
FROM pgscore.versions AS v JOIN pgscore.models AS m USING (model_id)
WHERE m.name = 'tier' AND v.version = 1;

INSERT INTO pgscore.history (model_id, model, action, to_version)
SELECT m.model_id, m.name, 'deploy', 1 FROM pgscore.models AS m WHERE m.name = 'tier';

-- Version 1 becomes live.
SELECT pgscore.promote('tier', 1, 'live');

COMMIT;

SELECT pgscore.promote('churn', 1, 'champion');
SELECT pgscore.rollback('churn');

-- What users have built on the models of this release.
GRANT pgscore_scorer TO released_analyst;
GRANT EXECUTE ON FUNCTION score.churn(public.customers), score.churn(integer, double precision) TO released_guest;
CREATE VIEW public.likely AS SELECT c.id, score.churn(c) AS churn FROM public.customers AS c;
CREATE INDEX churn_by_version ON public.customers (score.churn_v1(tenure, monthly));
SELECT pgscore.create_refresh('daily', 'churn', 'public.customers', '{id}', 'public.churn_scores');
CALL pgscore.refresh('daily');
SELECT pgscore.record_run('daily', now(), NULL, NULL, NULL, NULL, NULL, NULL, 'the disk was full');
