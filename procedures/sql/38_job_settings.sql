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
    q.lookback,
    q.backfill_first,
    (SELECT substr(d.description, strpos(d.description, E'\n') + 1)
     FROM pg_description AS d
     JOIN pg_class AS c ON c.oid = d.objoid
     JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE d.classoid = 'pg_class'::regclass AND d.objsubid = 0 AND format('%I.%I', n.nspname, c.relname) = j.source
       AND split_part(d.description, E'\n', 1) = format('Source of refresh job %s', j.name)) AS query
FROM pgscore.jobs AS j
LEFT JOIN pgscore.target_forms AS f USING (job_id)
LEFT JOIN pgscore.queues AS q USING (job_id);
COMMENT ON VIEW pgscore.job_settings IS
    'What each refresh job was created with, beside what pgscore.freshness shows of it; query is that of source_view';
