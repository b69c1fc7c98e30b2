-- Row security of prediction tables, as a template: who may see a row of the source may see its prediction.
--
-- Errors are those of 20_functions.sql.

CREATE OR REPLACE FUNCTION pgscore.row_security(job text)
RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    it record;
    target_name name;
    same_key text;
BEGIN
    SELECT j.* INTO STRICT it FROM pgscore.job_of(job) AS j;
    target_name := (parse_ident(it.target))[2];
    -- The policy's own table is known by its bare name.
    SELECT string_agg(format('source.%I = %I.%I', k.name, target_name, k.name), ' AND ' ORDER BY k.n)
    INTO same_key
    FROM unnest(it.key_columns) WITH ORDINALITY AS k (name, n);
    RETURN NEXT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', it.target);
    RETURN NEXT format(
        'CREATE POLICY pgscore_follows_source ON %s FOR SELECT USING (EXISTS (SELECT FROM %s AS source WHERE %s))',
        it.target, it.source, same_key);
END
$function$;
COMMENT ON FUNCTION pgscore.row_security(text) IS
    'Statements that let each role see the predictions of those source rows that it may see, for the table''s owner to '
    'read and run: SELECT pgscore.row_security(''churn_daily'') \gexec. The owner, who refreshes, sees all rows';
