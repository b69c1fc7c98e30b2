-- The roles. None can log in. They belong to the whole cluster: several databases with pgscore share them.
--
-- Install runs this file when it may create roles (a superuser, or a role with CREATEROLE). Where it may not, the
-- installer owns everything and grants by hand.
--
-- The comment marks a role as ours: uninstall drops only roles that carry it.

DO $roles$
DECLARE
    ours CONSTANT jsonb := jsonb_build_object(
        'pgscore_owner', 'owns schemas, tables and functions; its members administer pgscore',
        'pgscore_deployer', 'may deploy and drop models, and grant them to roles',
        'pgscore_promoter', 'may promote and roll back versions, and read what there is',
        'pgscore_scorer', 'may call the models'' functions, and see nothing of the catalog',
        'pgscore_monitor', 'may read what there is: versions, history, jobs and runs; no predictions',
        'pgscore_sandbox', 'has no rights: the bodies of models in plpgsql run as it');
    given record;
BEGIN
    FOR given IN SELECT o.key AS role, o.value AS purpose FROM jsonb_each_text(ours) AS o ORDER BY o.key LOOP
        IF to_regrole(given.role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', given.role);
            EXECUTE format('COMMENT ON ROLE %I IS %L', given.role, 'pgscore: ' || given.purpose);
        ELSIF shobj_description(to_regrole(given.role), 'pg_authid') LIKE 'pgscore:%' THEN
            -- An earlier release said it otherwise.
            EXECUTE format('COMMENT ON ROLE %I IS %L', given.role, 'pgscore: ' || given.purpose);
        END IF;
        -- A superuser acts as any role. From PostgreSQL 16 on, the creator of a role is no member of it by itself.
        IF NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
           AND NOT pg_has_role(given.role, 'USAGE') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', given.role);
        END IF;
    END LOOP;
    -- The owner takes over what a deployer created, and drops it.
    FOR given IN
        SELECT r.role FROM unnest(ARRAY['pgscore_deployer', 'pgscore_sandbox']) AS r (role)
        WHERE NOT pg_has_role('pgscore_owner', r.role, 'USAGE')
    LOOP
        EXECUTE format('GRANT %I TO pgscore_owner', given.role);
    END LOOP;
END
$roles$;
