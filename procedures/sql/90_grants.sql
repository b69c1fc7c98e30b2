-- All grants. Nothing goes to PUBLIC; a role that does not exist here gets nothing.
--
-- pgscore_scorer    calls the models: score.*, pgscore.score; has refresh jobs of its own, which read and write with
--                   its own rights
-- pgscore_deployer  deploys and drops models, grants them to roles, calls them, and reads what there is
-- pgscore_promoter  promotes, rolls back, drops aliases, and reads the overviews
-- pgscore_monitor   reads the overviews, jobs and runs
-- pgscore_owner     owns it all
-- pgscore_sandbox   nothing
--
-- The functions of a model are granted where they are made: pgscore.publish_functions, promote, grant_model.

REVOKE ALL ON SCHEMA pgscore, score, pgscore_staging FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgscore, score FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA pgscore, score FROM PUBLIC;

DO $grants$
DECLARE
    role name;
BEGIN
    -- What an earlier release granted, and this one does not.
    FOR role IN
        SELECT r.rolname FROM pg_roles AS r
        WHERE r.rolname IN (
            'pgscore_scorer', 'pgscore_deployer', 'pgscore_promoter', 'pgscore_monitor', 'pgscore_sandbox')
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA pgscore, score, pgscore_staging FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA pgscore FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgscore FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA pgscore FROM %I', role);
    END LOOP;
    IF to_regrole('pgscore_scorer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA score, pgscore TO pgscore_scorer;
        GRANT SELECT (schema_version, pgscore_version) ON pgscore.installation TO pgscore_scorer;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.score(text, jsonb),
            pgscore.resolve(text),
            pgscore.warm_up(text), pgscore.functions_to_warm(text),
            pgscore.served_version, pgscore.is_queued, pgscore.live_query, pgscore.compute_live
        TO pgscore_scorer;
        GRANT EXECUTE ON PROCEDURE pgscore.refresh, pgscore.run_job TO pgscore_scorer;
        GRANT EXECUTE ON FUNCTION
            pgscore.create_refresh,
            pgscore.source_view,
            pgscore.drop_refresh,
            pgscore.row_security,
            pgscore.set_challenger,
            pgscore.queue_everything,
            pgscore.refresh_unfinished,
            pgscore.set_schedule,
            pgscore.set_limits,
            pgscore.explain_refresh,
            pgscore.due_jobs,
            pgscore.set_live,
            pgscore.rejected,
            pgscore.queue_rejected,
            pgscore.prediction_ages,
            pgscore.schedule,
            pgscore.unschedule,
            pgscore.cron_runs,
            -- Of which these are parts.
            pgscore.remove_job,
            pgscore.drop_source_view,
            pgscore.record_live,
            pgscore.can_read_cron,
            pgscore.cron_name,
            pgscore.without_values,
            pgscore.record_limits,
            pgscore.estimated_rows,
            pgscore.everything_is_queued,
            pgscore.run_going_on,
            pgscore.missing_rights,
            pgscore.explain_changes,
            -- The parts of refresh, which runs as its caller.
            pgscore.version_to_run,
            pgscore.job_of,
            pgscore.lock_job,
            pgscore.limits_of,
            pgscore.pause,
            pgscore.no_commit_message,
            pgscore.error_to_record,
            pgscore.add_job,
            pgscore.record_run,
            pgscore.score_expression,
            pgscore.scoring_query,
            pgscore.scores_in_batches,
            pgscore.answer_of_graph,
            pgscore.outputs_in_batches,
            pgscore.scored_query,
            pgscore.score_source,
            pgscore.pages_of,
            pgscore.next_keys,
            pgscore.chunk_query,
            pgscore.begin_chunks,
            pgscore.make_staging,
            pgscore.record_chunk,
            pgscore.chunked_run_of,
            pgscore.score_chunk,
            pgscore.score_part,
            pgscore.begin_parts,
            pgscore.begin_build,
            pgscore.insert_built,
            pgscore.end_parts,
            pgscore.parts_of,
            pgscore.take_chunks,
            pgscore.end_chunks,
            pgscore.score_or_fail,
            pgscore.check_failed,
            pgscore.data_condition,
            pgscore.rejected_now,
            pgscore.reason_for_refusal,
            pgscore.record_rejected,
            pgscore.key_scored,
            pgscore.write_difference,
            pgscore.choose_writing,
            pgscore.swap_pays,
            pgscore.recent_share,
            pgscore.part_of,
            pgscore.free_part,
            pgscore.indexes_of,
            pgscore.index_prefix,
            pgscore.swap_hindrance,
            pgscore.record_build,
            pgscore.build_of,
            pgscore.owner_of,
            pgscore.forget_build,
            pgscore.drop_build,
            pgscore.built_columns,
            pgscore.create_build,
            pgscore.finish_build,
            pgscore.build_beside,
            pgscore.older_transactions,
            pgscore.wait_for_older,
            pgscore.swap,
            pgscore.write_built,
            pgscore.record_writing,
            pgscore.writing_of,
            pgscore.check_target,
            pgscore.target_place,
            pgscore.view_beside,
            pgscore.functions_named,
            pgscore.challenger_to_run,
            pgscore.record_challenger,
            pgscore.check_challenger,
            pgscore.canary_condition,
            pgscore.compare_scores,
            pgscore.record_comparison,
            pgscore.is_incremental,
            pgscore.queue_of,
            pgscore.make_queue,
            pgscore.take_changes,
            pgscore.record_scored,
            pgscore.columns_read,
            pgscore.columns_of_run,
            pgscore.triggers_of,
            pgscore.versions_wanted,
            pgscore.set_changes,
            pgscore.check_changes,
            pgscore.watermark_type,
            pgscore.hash_of_inputs,
            pgscore.find_by_hash,
            pgscore.find_by_watermark,
            pgscore.record_seen,
            pgscore.watch_source,
            pgscore.stage_changes,
            pgscore.changes_to_score,
            pgscore.changes_scored,
            pgscore.backlog,
            pgscore.target_form,
            pgscore.add_target_form,
            pgscore.check_target_form,
            pgscore.target_columns,
            pgscore.type_of_output,
            pgscore.output_of_canary,
            pgscore.rank_scored,
            pgscore.make_top_view,
            pgscore.count_segments,
            pgscore.record_segments,
            pgscore.recommendation_query,
            pgscore.recommend
        TO pgscore_scorer;
        GRANT SELECT ON
            pgscore.freshness, pgscore.job_settings, pgscore.challenger_overview, pgscore.run_overview, pgscore.rejected_overview, pgscore.segment_sizes, pgscore.segment_drift
        TO pgscore_scorer;
        IF to_regprocedure('pgscore.runtime_info()') IS NOT NULL THEN
            GRANT EXECUTE ON FUNCTION pgscore.runtime_info TO pgscore_scorer;
        END IF;
    END IF;
    IF to_regrole('pgscore_promoter') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA pgscore TO pgscore_promoter;
        GRANT SELECT (schema_version, pgscore_version) ON pgscore.installation TO pgscore_promoter;
        GRANT EXECUTE ON FUNCTION
            pgscore.promote, pgscore.rollback, pgscore.drop_alias, pgscore.grantees, pgscore.backlog,
            -- For doctor.
            pgscore.calls_version, pgscore.functions_named, pgscore.function_names,
            -- For status.
            pgscore.prediction_ages, pgscore.cron_runs, pgscore.can_read_cron, pgscore.without_values
        TO pgscore_promoter;
        GRANT SELECT ON
            pgscore.model_overview,
            pgscore.version_overview,
            pgscore.history_overview,
            pgscore.grant_overview,
            pgscore.freshness,
            pgscore.job_settings,
            pgscore.challenger_overview,
            pgscore.segment_sizes,
            pgscore.segment_drift,
            pgscore.run_overview,
            pgscore.rejected_overview
        TO pgscore_promoter;
    END IF;
    IF to_regrole('pgscore_deployer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA pgscore, score TO pgscore_deployer;
        -- What is created there is published by the owner or not at all.
        GRANT USAGE, CREATE ON SCHEMA pgscore_staging TO pgscore_deployer;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA score TO pgscore_deployer;
        GRANT EXECUTE ON FUNCTION
            pgscore.begin_version,
            pgscore.add_graph,
            pgscore.make_factors,
            pgscore.add_factors,
            pgscore.seal_factors,
            pgscore.factors_sha256,
            pgscore.publish_functions,
            pgscore.add_version,
            pgscore.drop_version,
            pgscore.drop_model,
            pgscore.grant_model,
            pgscore.revoke_model,
            pgscore.grantees,
            pgscore.backlog,
            pgscore.score(text, jsonb),
            pgscore.resolve(text),
            pgscore.warm_up(text),
            pgscore.functions_to_warm(text),
            pgscore.served_version, pgscore.is_queued, pgscore.live_query, pgscore.compute_live,
            -- For doctor.
            pgscore.calls_version, pgscore.functions_named, pgscore.function_names,
            -- For status.
            pgscore.prediction_ages, pgscore.cron_runs, pgscore.can_read_cron, pgscore.without_values
        TO pgscore_deployer;
        GRANT SELECT ON
            pgscore.installation,
            pgscore.model_overview,
            pgscore.version_overview,
            pgscore.history_overview,
            pgscore.grant_overview,
            pgscore.freshness,
            pgscore.job_settings,
            pgscore.challenger_overview,
            pgscore.segment_sizes,
            pgscore.segment_drift,
            pgscore.run_overview,
            pgscore.rejected_overview,
            pgscore.costs,
            -- For verify.
            pgscore.models, pgscore.versions, pgscore.aliases, pgscore.parity_cases
        TO pgscore_deployer;
    END IF;
    IF to_regrole('pgscore_monitor') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA pgscore TO pgscore_monitor;
        GRANT EXECUTE ON FUNCTION
            pgscore.grantees, pgscore.backlog, pgscore.calls_version, pgscore.functions_named, pgscore.function_names,
            -- For status.
            pgscore.prediction_ages, pgscore.cron_runs, pgscore.can_read_cron, pgscore.without_values
        TO pgscore_monitor;
        GRANT SELECT ON
            pgscore.installation,
            pgscore.model_overview,
            pgscore.version_overview,
            pgscore.history_overview,
            pgscore.grant_overview,
            pgscore.freshness,
            pgscore.job_settings,
            pgscore.challenger_overview,
            pgscore.segment_sizes,
            pgscore.segment_drift,
            pgscore.run_overview,
            pgscore.rejected_overview,
            -- For plan --check.
            pgscore.costs,
            pgscore.jobs,
            pgscore.runs
        TO pgscore_monitor;
    END IF;
    IF to_regrole('pgscore_sandbox') IS NOT NULL THEN
        -- A function's owner needs it while the function is there (pgscore.publish_functions).
        GRANT USAGE, CREATE ON SCHEMA pgscore_staging TO pgscore_sandbox;
    END IF;
END
$grants$;
