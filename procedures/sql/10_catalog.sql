-- The catalog: models, their immutable versions, aliases, and the append-only history.
--
-- Constraints and triggers hold the invariants, not the command line. Run as the owner, in the schemas that install
-- made; may run again: it changes nothing that exists.

COMMENT ON SCHEMA pgscore IS 'pgscore: the catalog of models and the procedures that manage them';
COMMENT ON SCHEMA score IS 'pgscore: the functions of the models; score.NAME is the live version of model NAME';
COMMENT ON SCHEMA pgscore_staging IS
    'pgscore: where a deploy creates functions, before pgscore.publish_functions moves them to score; else empty';

CREATE TABLE IF NOT EXISTS pgscore.installation (
    only_row        boolean PRIMARY KEY DEFAULT true CONSTRAINT installation_has_one_row CHECK (only_row),
    schema_version  integer NOT NULL,
    pgscore_version text NOT NULL,
    installed_at    timestamptz NOT NULL DEFAULT now(),
    installed_by    text NOT NULL DEFAULT session_user,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    updated_by      text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE pgscore.installation IS 'One row: which pgscore installed this schema';
COMMENT ON COLUMN pgscore.installation.only_row IS 'Always true; as the key it keeps the table at one row';
COMMENT ON COLUMN pgscore.installation.schema_version IS 'Version of these tables and procedures';
COMMENT ON COLUMN pgscore.installation.pgscore_version IS 'Version of the package that installed last';
COMMENT ON COLUMN pgscore.installation.installed_at IS 'When it was installed first';
COMMENT ON COLUMN pgscore.installation.installed_by IS 'Who installed it first';
COMMENT ON COLUMN pgscore.installation.updated_at IS 'When it was installed last';
COMMENT ON COLUMN pgscore.installation.updated_by IS 'Who installed it last';

CREATE TABLE IF NOT EXISTS pgscore.models (
    model_id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CONSTRAINT models_name_is_unique UNIQUE,
    last_version integer NOT NULL DEFAULT 0 CONSTRAINT models_last_version_counts_up CHECK (last_version >= 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT session_user,
    -- 40 bytes leave room for what functions append: _v2147483647_decision.
    CONSTRAINT models_name_is_plain CHECK (name ~ '^[a-z][a-z0-9_]*$' AND octet_length(name) <= 40)
);
COMMENT ON TABLE pgscore.models IS 'A model is a name; its versions do the work';
COMMENT ON COLUMN pgscore.models.model_id IS 'Key';
COMMENT ON COLUMN pgscore.models.name IS 'The name that users call: score.NAME';
COMMENT ON COLUMN pgscore.models.last_version IS
    'The highest version number given so far; never given again, also when that version is dropped. Deploy counts it '
    'up and so holds the row''s lock: two deploys of one model go one after the other';
COMMENT ON COLUMN pgscore.models.created_at IS 'When the first version was deployed';
COMMENT ON COLUMN pgscore.models.created_by IS 'Who deployed the first version';

CREATE TABLE IF NOT EXISTS pgscore.onnx_graphs (
    sha256  text PRIMARY KEY CONSTRAINT onnx_graphs_sha256_is_a_hash CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content bytea NOT NULL,
    CONSTRAINT onnx_graphs_hash_is_right CHECK (sha256 = encode(pg_catalog.sha256(content), 'hex'))
);
COMMENT ON TABLE pgscore.onnx_graphs IS 'ONNX graphs by content; versions of the same content share one';
COMMENT ON COLUMN pgscore.onnx_graphs.sha256 IS
    'SHA-256 of the content, in hexadecimal; also the key of the session cache';
COMMENT ON COLUMN pgscore.onnx_graphs.content IS 'The serialized graph, with no external data';

CREATE TABLE IF NOT EXISTS pgscore.versions (
    version_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id     integer NOT NULL REFERENCES pgscore.models (model_id),
    version      integer NOT NULL CONSTRAINT versions_version_is_positive CHECK (version > 0),
    estimator    text NOT NULL,
    kind         text NOT NULL,
    strategy     text NOT NULL CONSTRAINT versions_strategy_is_known CHECK (strategy IN ('sql', 'plpgsql', 'onnx')),
    reason       text NOT NULL,
    bound_table  text NOT NULL,
    parameters   jsonb NOT NULL CONSTRAINT versions_parameters_is_a_list CHECK (jsonb_typeof(parameters) = 'array'),
    functions    jsonb NOT NULL CONSTRAINT versions_has_a_main_function
                 CHECK (jsonb_typeof(functions) = 'array' AND functions -> 0 ->> 'suffix' IS NOT DISTINCT FROM ''),
    onnx_sha256  text CONSTRAINT versions_onnx_graph_exists REFERENCES pgscore.onnx_graphs (sha256),
    sql          text NOT NULL,
    sha256       text NOT NULL,
    model_sha256 text NOT NULL,
    libraries    jsonb NOT NULL,
    parity       jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT session_user,
    condition    text CONSTRAINT versions_condition_says_something CHECK (condition <> ''),
    CONSTRAINT versions_version_is_unique UNIQUE (model_id, version),
    CONSTRAINT versions_alias_target UNIQUE (model_id, version_id),
    CONSTRAINT versions_onnx_has_a_graph CHECK (strategy <> 'onnx' OR onnx_sha256 IS NOT NULL),
    -- These types are written into queries as they are.
    CONSTRAINT versions_parameter_types_are_known CHECK (
        jsonb_array_length(parameters) = jsonb_array_length(jsonb_path_query_array(parameters,
            'strict $[*] ? (@.type like_regex "^(integer|bigint|boolean|text|double precision)$")'))),
    CONSTRAINT versions_results_are_known CHECK (
        jsonb_array_length(functions) = jsonb_array_length(jsonb_path_query_array(functions,
            'strict $[*] ? (@.suffix like_regex "^[a-z]*$"
                && @.result like_regex "^(integer|bigint|boolean|text|double precision)([[][]])?$")')))
);
COMMENT ON TABLE pgscore.versions IS 'The versions of the models; a row never changes. Functions: score.NAME_vVERSION';
COMMENT ON COLUMN pgscore.versions.version_id IS 'Key';
COMMENT ON COLUMN pgscore.versions.model_id IS 'The model';
COMMENT ON COLUMN pgscore.versions.version IS 'Number within the model, from 1 up';
COMMENT ON COLUMN pgscore.versions.estimator IS
    'The model in words, such as Pipeline(StandardScaler, LogisticRegression)';
COMMENT ON COLUMN pgscore.versions.kind IS 'What it is for: regressor, binary classifier, …';
COMMENT ON COLUMN pgscore.versions.strategy IS 'How its functions run in queries: sql (inlined), plpgsql, or onnx (PL/Python)';
COMMENT ON COLUMN pgscore.versions.reason IS 'Why this strategy, and what a refresh or one row does otherwise';
COMMENT ON COLUMN pgscore.versions.bound_table IS
    'The table whose rows it scores, qualified and quoted, as it was called at deploy';
COMMENT ON COLUMN pgscore.versions.parameters IS
    'The inputs in order: [{"name", "type", "column"}]; column is the table''s name of it';
COMMENT ON COLUMN pgscore.versions.functions IS
    'The functions, main first: [{"suffix", "method", "result", "language", "strategy", "outputs", "labels"}]; method is '
    'what it equals, outputs the columns of the graph''s output from which refresh makes it instead of calling it. The one of a recommender has "factors" too: {"sha256", "rating"}, the hash and the column of ratings (or null)';
COMMENT ON COLUMN pgscore.versions.onnx_sha256 IS 'The graph, where a function or a refresh runs one';
COMMENT ON COLUMN pgscore.versions.sql IS 'The statements that created the functions';
COMMENT ON COLUMN pgscore.versions.sha256 IS 'Hash over everything that decides an answer: inputs, functions, graph';
COMMENT ON COLUMN pgscore.versions.model_sha256 IS 'Hash of the model file';
COMMENT ON COLUMN pgscore.versions.libraries IS 'The packages that made the model, and their versions';
COMMENT ON COLUMN pgscore.versions.parity IS
    'Report of the parity gate: rows compared and the largest difference; no values of rows';
COMMENT ON COLUMN pgscore.versions.created_at IS 'When it was deployed';
COMMENT ON COLUMN pgscore.versions.created_by IS 'Who deployed it';
COMMENT ON COLUMN pgscore.versions.condition IS
    'The rows that it is for, such as region = ''EU''; all others get NULL. Where this is NULL it is for all rows';

CREATE TABLE IF NOT EXISTS pgscore.parity_cases (
    version_id integer PRIMARY KEY REFERENCES pgscore.versions (version_id) ON DELETE CASCADE,
    cases      jsonb NOT NULL
);
COMMENT ON TABLE pgscore.parity_cases IS 'Made-up rows with the model''s own answers, which `pgscore verify` replays';
COMMENT ON COLUMN pgscore.parity_cases.version_id IS 'The version';
COMMENT ON COLUMN pgscore.parity_cases.cases IS
    'Rows around a typical one: thresholds, categories, NULL, extreme numbers';

CREATE TABLE IF NOT EXISTS pgscore.aliases (
    model_id   integer NOT NULL REFERENCES pgscore.models (model_id),
    alias      text NOT NULL
               CONSTRAINT aliases_alias_is_plain CHECK (alias ~ '^[a-z][a-z0-9_]*$' AND octet_length(alias) <= 63),
    version_id integer NOT NULL,
    PRIMARY KEY (model_id, alias),
    -- Both columns: an alias of one model cannot point to a version of another.
    CONSTRAINT aliases_points_to_own_version
        FOREIGN KEY (model_id, version_id) REFERENCES pgscore.versions (model_id, version_id)
);
COMMENT ON TABLE pgscore.aliases IS 'Names that move from version to version; score.NAME follows the alias live';
COMMENT ON COLUMN pgscore.aliases.model_id IS 'The model';
COMMENT ON COLUMN pgscore.aliases.alias IS 'The alias, such as live or champion';
COMMENT ON COLUMN pgscore.aliases.version_id IS 'The version that it points to';

CREATE TABLE IF NOT EXISTS pgscore.history (
    history_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id     integer NOT NULL,
    model        text NOT NULL,
    alias        text,
    action       text NOT NULL
                 CONSTRAINT history_action_is_known
                 CHECK (action IN ('deploy', 'promote', 'rollback', 'unalias', 'drop', 'grant', 'revoke')),
    from_version integer,
    to_version   integer,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    by           text NOT NULL DEFAULT session_user,
    note         text,
    sha256       text,
    parity       jsonb,
    CONSTRAINT history_moves_name_an_alias CHECK ((action IN ('promote', 'rollback', 'unalias')) = (alias IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS history_of_alias ON pgscore.history (model_id, alias, history_id);
COMMENT ON TABLE pgscore.history IS 'What happened to the models. Rows are only ever added, and outlive the model';
COMMENT ON COLUMN pgscore.history.history_id IS 'Key, in the order of events of one model';
COMMENT ON COLUMN pgscore.history.model_id IS 'The model; no foreign key, as the model may be dropped';
COMMENT ON COLUMN pgscore.history.model IS 'Its name at the time';
COMMENT ON COLUMN pgscore.history.alias IS 'The alias that moved (promote, rollback) or went (unalias)';
COMMENT ON COLUMN pgscore.history.action IS
    'deploy, promote, rollback, unalias (an alias is dropped), drop, grant or revoke (of the model, to the role in note)';
COMMENT ON COLUMN pgscore.history.from_version IS 'Where the alias pointed before, or the version that was dropped';
COMMENT ON COLUMN pgscore.history.to_version IS 'Where the alias points now, or the version that was deployed';
COMMENT ON COLUMN pgscore.history.at IS 'When';
COMMENT ON COLUMN pgscore.history.by IS 'Who: the role that logged in, whatever role it acted as';
COMMENT ON COLUMN pgscore.history.note IS 'Why, as whoever did it put it; of grant and revoke, the role; of deploy, the rows that the version is for, if not all';
COMMENT ON COLUMN pgscore.history.sha256 IS 'versions.sha256 of to_version, of a drop that of from_version';
COMMENT ON COLUMN pgscore.history.parity IS 'versions.parity of to_version';

CREATE OR REPLACE FUNCTION pgscore.refuse_change()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'PS002',
        MESSAGE = format('%s on pgscore.%I is refused: its rows never change', TG_OP, TG_TABLE_NAME);
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_change() IS 'Trigger of tables whose rows never change';

CREATE OR REPLACE TRIGGER history_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON pgscore.history
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();

-- Dropping a version deletes its row; nothing else touches it (22_drop.sql refuses a delete by hand).
CREATE OR REPLACE TRIGGER versions_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.versions
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();
CREATE OR REPLACE TRIGGER parity_cases_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.parity_cases
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();
CREATE OR REPLACE TRIGGER onnx_graphs_are_immutable
    BEFORE UPDATE OR TRUNCATE ON pgscore.onnx_graphs
    FOR EACH STATEMENT EXECUTE FUNCTION pgscore.refuse_change();

CREATE OR REPLACE FUNCTION pgscore.refuse_ambiguous_name()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    -- What the functions of a model append to its name.
    appended CONSTANT text := '^_(v[0-9]+(_.*)?|label|proba|decision|distance|one)$';
    other text;
BEGIN
    -- An earlier release let more names stand side by side: add_version sees to their functions.
    IF EXISTS (SELECT FROM pgscore.models AS m WHERE m.name = NEW.name) THEN
        RETURN NEW;
    END IF;
    -- Of two such new models at once, the second must see the first: both lock the shorter name.
    PERFORM pg_advisory_xact_lock(hashtext('pgscore.models'), root.key)
    FROM (
        SELECT DISTINCT hashtext(left(NEW.name, i))
        FROM generate_series(1, length(NEW.name)) AS i
        WHERE i = length(NEW.name) OR substr(NEW.name, i + 1) ~ appended
        ORDER BY 1
    ) AS root (key);
    SELECT m.name INTO other
    FROM pgscore.models AS m
    WHERE m.model_id <> NEW.model_id
      AND (starts_with(NEW.name, m.name) AND substr(NEW.name, length(m.name) + 1) ~ appended
           OR starts_with(m.name, NEW.name) AND substr(m.name, length(NEW.name) + 1) ~ appended)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'PS003',
            MESSAGE = format('a model named %s would share function names with model %s', NEW.name, other),
            HINT = 'choose another name';
    END IF;
    RETURN NEW;
END
$function$;
COMMENT ON FUNCTION pgscore.refuse_ambiguous_name() IS
    'Trigger: no model may be called like a function of another, as churn_v2 or churn_label beside churn';

CREATE OR REPLACE TRIGGER models_names_are_apart
    BEFORE INSERT OR UPDATE OF name ON pgscore.models
    FOR EACH ROW EXECUTE FUNCTION pgscore.refuse_ambiguous_name();
