-- What refresh jobs were created with, for everybody who sees how fresh they are.

CREATE OR REPLACE VIEW pgscore.job_settings WITH (security_barrier) AS
SELECT
    j.name AS job,
    coalesce(f.outputs, '{}') AS outputs,
    f.top,
    f.keep,
    f.per,
    f.order_by,
    f.diverse,
    f.max_per,
    f.eligible,
    coalesce(f.carried, '{}') AS carried,
    CASE WHEN f.keeps_vanished THEN 'keep' ELSE 'remove' END AS vanished,
    q.changes,
    q.watermark,
    q.lookback
FROM pgscore.jobs AS j
LEFT JOIN pgscore.target_forms AS f USING (job_id)
LEFT JOIN pgscore.queues AS q USING (job_id);
COMMENT ON VIEW pgscore.job_settings IS 'What each refresh job was created with, beside what pgscore.freshness shows of it';
