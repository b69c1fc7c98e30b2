-- All grants. Nothing goes to PUBLIC; a role that does not exist here gets nothing.
--
-- pgscore_scorer    calls the models: score.*, pgscore.score, and the ONNX functions that score.* call (granted where
--                   they are created); has refresh jobs of its own, which read and write with its own rights
-- pgscore_promoter  promotes, rolls back, and reads the overviews
-- pgscore_owner     owns it all; its members deploy and drop

REVOKE ALL ON SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA pgscore, score FROM PUBLIC;

DO $grants$
BEGIN
    IF to_regrole('pgscore_scorer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA score, pgscore TO pgscore_scorer;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.score(text, jsonb),
            pgscore.resolve(text),
            pgscore.warm_up(text), pgscore.functions_to_warm(text)
        TO pgscore_scorer;
        GRANT EXECUTE ON PROCEDURE pgscore.refresh TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.create_refresh,
            pgscore.drop_refresh,
            -- The parts of refresh, which runs as its caller.
            pgscore.version_to_run,
            pgscore.job_of,
            pgscore.add_job,
            pgscore.record_run,
            pgscore.score_expression,
            pgscore.scoring_query,
            pgscore.scores_in_batches,
            pgscore.check_target,
            pgscore.functions_named
        TO pgscore_scorer;
        GRANT SELECT ON pgscore.freshness TO pgscore_scorer;
    END IF;
    IF to_regrole('pgscore_promoter') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA pgscore TO pgscore_promoter;
        GRANT EXECUTE ON FUNCTION
            pgscore.promote(text, integer, text),
            pgscore.rollback(text, text)
        TO pgscore_promoter;
        GRANT SELECT ON
            pgscore.model_overview,
            pgscore.version_overview,
            pgscore.history_overview,
            pgscore.freshness
        TO pgscore_promoter;
    END IF;
END
$grants$;
