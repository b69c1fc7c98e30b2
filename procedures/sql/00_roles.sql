-- The roles. None can log in. They belong to the whole cluster: several databases with pgscore share them.
--
-- Install runs this file when it may create roles (a superuser, or a role with CREATEROLE). Where it may not, the
-- installer owns everything and grants by hand.
--
-- The comment marks a role as ours: uninstall drops only roles that carry it.

DO $roles$
BEGIN
    IF to_regrole('pgscore_owner') IS NULL THEN
        CREATE ROLE pgscore_owner NOLOGIN;
        COMMENT ON ROLE pgscore_owner IS 'pgscore: owns schemas, tables and functions; members deploy and drop models';
    END IF;
    IF to_regrole('pgscore_promoter') IS NULL THEN
        CREATE ROLE pgscore_promoter NOLOGIN;
        COMMENT ON ROLE pgscore_promoter IS 'pgscore: may promote and roll back versions, and read what there is';
    END IF;
    IF to_regrole('pgscore_scorer') IS NULL THEN
        CREATE ROLE pgscore_scorer NOLOGIN;
        COMMENT ON ROLE pgscore_scorer IS 'pgscore: may call the models'' functions, and see nothing of the catalog';
    END IF;
    -- A superuser acts as any role. From PostgreSQL 16 on, the creator of a role is no member of it by itself.
    IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
        GRANT pgscore_owner, pgscore_promoter, pgscore_scorer TO CURRENT_USER;
    END IF;
END
$roles$;
