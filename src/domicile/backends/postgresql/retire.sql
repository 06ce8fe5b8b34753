-- Closes the schema {home} at one instant. It is renamed, and in its place stand views of its tables
-- that raise when they are read, so that no name falls through to a table of the same name in the
-- next schema of somebody's path. Triggers on the tables themselves refuse what goes through the
-- views, and statements that found the tables before they were renamed.
DO $retire$
DECLARE
    home CONSTANT text := {home};
    old CONSTANT text := {old};
    owner text;
    relation record;
BEGIN
    EXECUTE format('ALTER SCHEMA %I RENAME TO %I', home, old);
    EXECUTE format(
        'CREATE FUNCTION %I.domicile_moved() RETURNS boolean LANGUAGE plpgsql STABLE AS %L',
        old,
        format(
            'BEGIN RAISE EXCEPTION USING ERRCODE = ''3F000'', MESSAGE = %L; END',
            format('schema "%s" was moved away', home)
        )
    );
    EXECUTE format(
        'CREATE FUNCTION %I.domicile_refuse() RETURNS trigger LANGUAGE plpgsql AS %L',
        old,
        format('BEGIN PERFORM %I.domicile_moved(); RETURN NULL; END', old)
    );
    EXECUTE format('CREATE SCHEMA %I', home);
    FOR relation IN
        SELECT c.relname, c.relkind
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = old AND c.relkind IN ('r', 'p', 'v', 'm')
    LOOP
        IF relation.relkind IN ('r', 'p') THEN
            EXECUTE format(
                'CREATE TRIGGER domicile_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE'
                ' ON %I.%I FOR EACH STATEMENT EXECUTE FUNCTION %I.domicile_refuse()',
                old, relation.relname, old
            );
        END IF;
        EXECUTE format(
            'CREATE VIEW %I.%I AS SELECT * FROM %I.%I WHERE %I.domicile_moved()',
            home, relation.relname, old, relation.relname, old
        );
    END LOOP;
    SELECT pg_catalog.pg_get_userbyid(nspowner) INTO owner
    FROM pg_catalog.pg_namespace WHERE nspname = old;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', home, owner);
    EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO %I', home, owner);
END
$retire$
