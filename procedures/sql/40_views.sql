-- What `pgscore list`, `show` and `history` print, for everybody who may manage models.

CREATE OR REPLACE VIEW pgscore.version_overview AS
SELECT
    m.name AS model,
    v.version,
    ARRAY(
        SELECT a.alias FROM pgscore.aliases AS a WHERE a.version_id = v.version_id ORDER BY a.alias
    ) AS aliases,
    v.estimator,
    v.kind,
    v.strategy,
    v.reason,
    v.bound_table,
    v.parameters,
    v.functions,
    v.onnx_sha256,
    v.sql,
    v.sha256,
    v.model_sha256,
    v.libraries,
    v.parity,
    v.created_at,
    v.created_by,
    v.condition
FROM pgscore.versions AS v
JOIN pgscore.models AS m USING (model_id);
COMMENT ON VIEW pgscore.version_overview IS 'All versions of all models, with the aliases that point to them';

CREATE OR REPLACE VIEW pgscore.model_overview AS
SELECT
    m.name AS model,
    live.version AS live,
    m.last_version AS newest,
    (SELECT count(*) FROM pgscore.versions AS v WHERE v.model_id = m.model_id) AS versions,
    (SELECT jsonb_object_agg(a.alias, v.version)
     FROM pgscore.aliases AS a
     JOIN pgscore.versions AS v USING (version_id)
     WHERE a.model_id = m.model_id) AS aliases,
    live.estimator,
    live.kind,
    live.strategy,
    live.bound_table,
    m.created_at,
    m.created_by,
    live.condition
FROM pgscore.models AS m
LEFT JOIN pgscore.aliases AS l ON l.model_id = m.model_id AND l.alias = 'live'
LEFT JOIN pgscore.versions AS live ON live.version_id = l.version_id;
COMMENT ON VIEW pgscore.model_overview IS 'The models, and what is live of each';

CREATE OR REPLACE VIEW pgscore.history_overview AS
SELECT h.history_id, h.model, h.alias, h.action, h.from_version, h.to_version, h.at, h.by, h.note, h.sha256, h.parity
FROM pgscore.history AS h;
COMMENT ON VIEW pgscore.history_overview IS 'What happened to the models, oldest history_id first';

CREATE OR REPLACE VIEW pgscore.grant_overview AS
SELECT m.name AS model, g.role, h.at AS granted_at, h.by AS granted_by
FROM pgscore.models AS m
CROSS JOIN LATERAL unnest(pgscore.grantees(m.name)) AS g (role)
LEFT JOIN LATERAL (
    SELECT e.at, e.by
    FROM pgscore.history AS e
    WHERE e.model_id = m.model_id AND e.action = 'grant' AND e.note = g.role
    ORDER BY e.history_id DESC
    LIMIT 1
) AS h ON true;
COMMENT ON VIEW pgscore.grant_overview IS
    'Which roles each model was granted to by pgscore.grant_model, when and by whom (NULL: by a GRANT by hand)';
