-- Scoring by a model's name, for ad-hoc and dynamic calls: pgscore.score('churn', to_jsonb(c)).
--
-- Rights. score runs as its caller (SECURITY INVOKER): who may not call a version's function cannot reach it through here
-- either, and nothing that a caller brings along, such as a type with a function behind it, runs with the owner's rights.
-- resolve alone reads the catalog, as the owner.
--
-- Errors are those of 20_functions.sql. Messages hold no values of rows.

CREATE OR REPLACE FUNCTION pgscore.resolve(reference text)
RETURNS TABLE (model text, version integer, name text, parameters jsonb, row_type text, for_one_row text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    parts CONSTANT text[] := regexp_match(reference, '^([a-z][a-z0-9_]*)(?:@([a-z][a-z0-9_]*|[1-9][0-9]{0,8}))?$');
    which CONSTANT text := coalesce(parts[2], 'live');
BEGIN
    IF parts IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('%L names no model', reference),
            HINT = 'write churn, churn@champion or churn@3';
    END IF;
    RETURN QUERY
    SELECT
        m.name,
        v.version,
        format('%s_v%s', m.name, v.version),
        v.parameters,
        -- Beyond 100 inputs there is only the function that takes a row.
        CASE WHEN jsonb_array_length(v.parameters) > 100 THEN (
            SELECT format_type(p.proargtypes[0], NULL)
            FROM pg_proc AS p
            WHERE p.oid = ANY (pgscore.functions_named(ARRAY[format('%s_v%s', m.name, v.version)])))
        END,
        format('%s_v%s', m.name, v.version) || CASE WHEN v.functions @> '[{"suffix": "one"}]' THEN '_one' ELSE '' END
    FROM pgscore.models AS m
    JOIN pgscore.versions AS v USING (model_id)
    WHERE m.name = parts[1]
      AND CASE
              WHEN which ~ '^[0-9]' THEN v.version = which::integer
              ELSE v.version_id = (
                  SELECT a.version_id FROM pgscore.aliases AS a WHERE a.model_id = m.model_id AND a.alias = which)
          END;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS001',
            MESSAGE = format(
                'there is no model %s with %s %s',
                parts[1],
                CASE WHEN which ~ '^[0-9]' THEN 'version' ELSE 'alias' END,
                which);
    END IF;
END
$function$;
COMMENT ON FUNCTION pgscore.resolve(text) IS
    'The version that churn, churn@champion or churn@3 means, its inputs, and its function for one row. Runs as the owner, so that a scorer need '
    'not read the catalog; it gives away no more than the names in schema score do';

CREATE OR REPLACE FUNCTION pgscore.score(model text, input jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    called record;
    wrong record;
    call text;
    result jsonb;
BEGIN
    SELECT r.* INTO STRICT called FROM pgscore.resolve(score.model) AS r;
    IF jsonb_typeof(input) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('%s version %s takes its inputs as one JSON object', called.model, called.version),
            HINT = 'such as to_jsonb(c) of a row c';
    END IF;

    -- Checked here, so that no cast below can fail: PostgreSQL's own message would show the value.
    SELECT p.name, problem.what INTO wrong
    FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN input ? p.name THEN input -> p.name ELSE input -> p."column" END
    ) AS given (value)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN given.value IS NULL THEN 'is missing'
            WHEN jsonb_typeof(given.value) = 'null' THEN NULL
            WHEN p.type = 'text' THEN
                CASE WHEN jsonb_typeof(given.value) <> 'string' THEN 'is no string' END
            WHEN p.type = 'boolean' THEN
                CASE WHEN jsonb_typeof(given.value) <> 'boolean' THEN 'is neither true nor false' END
            WHEN jsonb_typeof(given.value) = 'string' AND p.type = 'double precision' THEN
                -- What to_jsonb makes of a double that JSON cannot hold.
                CASE WHEN given.value NOT IN ('"NaN"', '"Infinity"', '"-Infinity"') THEN 'is no number' END
            WHEN jsonb_typeof(given.value) <> 'number' THEN 'is no number'
            WHEN p.type = 'integer' THEN
                CASE WHEN given.value::numeric NOT BETWEEN -2147483648 AND 2147483647
                       OR given.value::numeric <> trunc(given.value::numeric) THEN 'is no integer' END
            WHEN p.type = 'bigint' THEN
                CASE WHEN given.value::numeric NOT BETWEEN -9223372036854775808 AND 9223372036854775807
                       OR given.value::numeric <> trunc(given.value::numeric) THEN 'is no bigint' END
            ELSE
                CASE WHEN abs(given.value::numeric) > 1.7976931348623157e308
                       OR abs(given.value::numeric) < 4.95e-324 AND given.value::numeric <> 0
                     THEN 'lies outside double precision' END
        END
    ) AS problem (what)
    WHERE problem.what IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS004',
            MESSAGE = format('input %I of %s version %s %s', wrong.name, called.model, called.version, wrong.what);
    END IF;

    IF called.row_type IS NULL THEN
        SELECT string_agg(
            format(
                '%I => ($1 ->> %L)::%s',
                p.name,
                CASE WHEN input ? p.name THEN p.name ELSE p."column" END,
                -- JSON may spell an integer 12.0, which only numeric reads.
                CASE WHEN p.type IN ('integer', 'bigint') THEN 'numeric::' || p.type ELSE p.type END),
            ', ')
        INTO call
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text);
    ELSE
        -- Only the model's own columns: others may hold what the row type does not take.
        SELECT jsonb_object_agg(
            p."column",
            CASE
                WHEN p.type IN ('integer', 'bigint') AND jsonb_typeof(given.value) = 'number'
                    THEN to_jsonb(trunc(given.value::numeric))
                ELSE given.value
            END)
        INTO input
        FROM jsonb_to_recordset(called.parameters) AS p (name text, type text, "column" text)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN input ? p.name THEN input -> p.name ELSE input -> p."column" END
        ) AS given (value);
        call := format('jsonb_populate_record(NULL::%s, $1)', called.row_type);
    END IF;
    EXECUTE format('SELECT to_jsonb(score.%I(%s))', called.for_one_row, call) INTO result USING input;
    RETURN result;
END
$function$;
COMMENT ON FUNCTION pgscore.score(text, jsonb) IS
    'What score.MODEL gives for the inputs in a JSON object, for ad-hoc and dynamic calls: pgscore.score(''churn'', '
    'to_jsonb(c)); ''churn@champion'' and ''churn@3'' name an alias or a version. Every input must be there (null for '
    'a missing value), others are ignored; NULL where the model refuses the row. Runs as the caller, who needs EXECUTE '
    'on the version''s functions: it opens no model that the caller may not call anyway';
