-- What the parts of a program cost on this server, by which a deploy chooses strategies. `pgscore calibrate` measures it;
-- for what has no row, the package has defaults.

CREATE TABLE IF NOT EXISTS pgscore.costs (
    name         text PRIMARY KEY CONSTRAINT costs_name_is_plain CHECK (name ~ '^[a-z_]+$'),
    microseconds double precision NOT NULL
                 CONSTRAINT costs_microseconds_is_a_time CHECK (microseconds >= 0 AND microseconds < 'Infinity'),
    measured_at  timestamptz NOT NULL DEFAULT now(),
    measured_by  text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE pgscore.costs IS 'What the parts of a program cost on this server; a deploy chooses strategies by it';
COMMENT ON COLUMN pgscore.costs.name IS 'Which part, as a field of Costs (compiler/costs.py)';
COMMENT ON COLUMN pgscore.costs.microseconds IS 'Microseconds for one of it';
COMMENT ON COLUMN pgscore.costs.measured_at IS 'When pgscore calibrate measured it';
COMMENT ON COLUMN pgscore.costs.measured_by IS 'Who ran that';
