-- What is added when the rows are there: (stage, statement), to be sent in order of the stages.
WITH home AS (
    SELECT oid, nspowner, nspacl, quote_ident(nspname) AS name
    FROM pg_namespace WHERE nspname = current_schema()
),
relation AS (
    SELECT c.*, quote_ident(c.relname) AS name,
        CASE c.relkind
            WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
            WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' WHEN 'c' THEN 'TYPE' ELSE 'TABLE'
        END AS kind
    FROM pg_class AS c JOIN home ON c.relnamespace = home.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I', 'c')
),
type AS (
    SELECT t.*, quote_ident(t.typname) AS name,
        CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END AS kind
    FROM pg_type AS t JOIN home ON t.typnamespace = home.oid
    WHERE t.typtype IN ('e', 'd', 'r')
        OR EXISTS (SELECT FROM relation WHERE relation.oid = t.typrelid AND relkind = 'c')
),
routine AS (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc AS p JOIN home ON pronamespace = home.oid
),
-- The role that owns the schema stands for the one that shall own the new one.
role AS (
    SELECT oid, CASE
            WHEN oid = (SELECT nspowner FROM home) THEN chr(1) || 'role' || chr(1)
            ELSE quote_ident(rolname)
        END AS name
    FROM pg_roles
    UNION ALL
    SELECT 0, 'PUBLIC'
),
comment AS (
    SELECT d.description, CASE
            WHEN d.objsubid > 0 THEN 'COLUMN ' || relation.name || '.' || quote_ident(attname)
            ELSE relation.kind || ' ' || relation.name
        END AS target
    FROM relation JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = relation.oid
    LEFT JOIN pg_attribute ON attrelid = relation.oid AND attnum = d.objsubid AND d.objsubid > 0
    UNION ALL
    SELECT description, type.kind || ' ' || type.name
    FROM type JOIN pg_description ON classoid = 'pg_type'::regclass AND objoid = type.oid
    UNION ALL
    SELECT description, 'ROUTINE ' || name
    FROM routine JOIN pg_description ON classoid = 'pg_proc'::regclass AND objoid = routine.oid
    UNION ALL
    SELECT description, format('CONSTRAINT %I ON %s', conname,
        coalesce(relation.name, 'DOMAIN ' || type.name))
    FROM pg_constraint AS con
    JOIN pg_description ON classoid = 'pg_constraint'::regclass AND objoid = con.oid
    LEFT JOIN relation ON relation.oid = conrelid
    LEFT JOIN type ON type.oid = contypid
    WHERE relation.oid IS NOT NULL OR type.oid IS NOT NULL
    UNION ALL
    SELECT description, format('TRIGGER %I ON %s', tgname, relation.name)
    FROM relation JOIN pg_trigger AS t ON tgrelid = relation.oid
    JOIN pg_description ON classoid = 'pg_trigger'::regclass AND objoid = t.oid
    UNION ALL
    SELECT description, format('RULE %I ON %s', rulename, relation.name)
    FROM relation JOIN pg_rewrite AS r ON ev_class = relation.oid
    JOIN pg_description ON classoid = 'pg_rewrite'::regclass AND objoid = r.oid
    UNION ALL
    SELECT description, format('POLICY %I ON %s', polname, relation.name)
    FROM relation JOIN pg_policy AS p ON polrelid = relation.oid
    JOIN pg_description ON classoid = 'pg_policy'::regclass AND objoid = p.oid
    UNION ALL
    SELECT description, format('STATISTICS %I', stxname)
    FROM home JOIN pg_statistic_ext AS s ON stxnamespace = home.oid
    JOIN pg_description ON classoid = 'pg_statistic_ext'::regclass AND objoid = s.oid
),
-- Whose rights are other than those that a new object has.
guarded AS (
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || name AS target, '' AS columns,
        relacl AS acl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual
    FROM relation WHERE relacl IS NOT NULL
    UNION ALL
    SELECT 'TABLE ' || name, ' (' || quote_ident(attname) || ')', attacl, acldefault('c', relowner)
    FROM relation JOIN pg_attribute ON attrelid = relation.oid
    WHERE attacl IS NOT NULL AND NOT attisdropped
    UNION ALL
    SELECT 'ROUTINE ' || name, '', proacl, acldefault('f', proowner) FROM routine WHERE proacl IS NOT NULL
    UNION ALL
    SELECT 'TYPE ' || name, '', typacl, acldefault('T', typowner) FROM type WHERE typacl IS NOT NULL
    UNION ALL
    SELECT 'SCHEMA ' || chr(1) || 'home' || chr(1), '', nspacl, acldefault('n', nspowner)
    FROM home WHERE nspacl IS NOT NULL
),
granted AS (
    SELECT target, columns, given, grantee, privilege_type, is_grantable
    FROM guarded, LATERAL (
        (SELECT 1 AS given, grantee, privilege_type, is_grantable FROM aclexplode(acl)
        EXCEPT SELECT 1, grantee, privilege_type, is_grantable FROM aclexplode(usual))
        UNION ALL
        (SELECT 0, grantee, privilege_type, is_grantable FROM aclexplode(usual)
        EXCEPT SELECT 0, grantee, privilege_type, is_grantable FROM aclexplode(acl))
    ) AS change
)
SELECT 10 AS stage, format('ALTER SEQUENCE %s OWNED BY %s.%I', relation.name, refobjid::regclass, attname) AS statement
FROM relation
JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = relation.oid AND deptype = 'a'
JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
WHERE relkind = 'S' AND refclassid = 'pg_class'::regclass AND refobjsubid > 0
UNION ALL
SELECT 15, format('ALTER TABLE ONLY %s ATTACH PARTITION %s %s', inhparent::regclass, name,
    pg_get_expr(relpartbound, relation.oid))
FROM relation JOIN pg_inherits ON inhrelid = relation.oid
WHERE relispartition AND relkind IN ('r', 'p')
UNION ALL
-- With "pretty" the table's name is written as it is found; an index of all partitions first.
SELECT CASE relkind WHEN 'I' THEN 20 ELSE 21 END, pg_get_indexdef(relation.oid, 0, true)
FROM relation JOIN pg_index ON indexrelid = relation.oid
WHERE indisvalid AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = relation.oid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 22, format('ALTER INDEX %s ATTACH PARTITION %s', inhparent::regclass, name)
FROM relation JOIN pg_inherits ON inhrelid = relation.oid
WHERE relkind IN ('i', 'I') AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = relation.oid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 25, replace(pg_get_statisticsobjdef(s.oid), 'CREATE STATISTICS ' || home.name || '.', 'CREATE STATISTICS ')
FROM home JOIN pg_statistic_ext AS s ON stxnamespace = home.oid
UNION ALL
SELECT 28, format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', name, conname, pg_get_constraintdef(con.oid))
FROM relation JOIN pg_constraint AS con ON conrelid = relation.oid
WHERE contype IN ('c', 'n') AND NOT convalidated AND conislocal
UNION ALL
SELECT 28, format('ALTER DOMAIN %s ADD CONSTRAINT %I %s', name, conname, pg_get_constraintdef(con.oid))
FROM type JOIN pg_constraint AS con ON contypid = type.oid
WHERE NOT convalidated
UNION ALL
-- One may read from another that is older.
SELECT 40 + oid::bigint / 1e10, 'REFRESH MATERIALIZED VIEW ' || name
FROM relation
WHERE relkind = 'm' AND relispopulated
UNION ALL
SELECT 50, pg_get_triggerdef(t.oid, true)
FROM relation JOIN pg_trigger AS t ON tgrelid = relation.oid
WHERE NOT tgisinternal AND tgparentid = 0
UNION ALL
SELECT 51, format('ALTER TABLE %s %s TRIGGER %I', name,
    CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, tgname)
FROM relation JOIN pg_trigger ON tgrelid = relation.oid
WHERE NOT tgisinternal AND tgparentid = 0 AND tgenabled <> 'O'
UNION ALL
SELECT 52, rtrim(pg_get_ruledef(r.oid, true), ';')
FROM relation JOIN pg_rewrite AS r ON ev_class = relation.oid
WHERE rulename <> '_RETURN'
UNION ALL
SELECT 53, format('ALTER TABLE %s %s RULE %I', name,
    CASE ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, rulename)
FROM relation JOIN pg_rewrite ON ev_class = relation.oid
WHERE rulename <> '_RETURN' AND ev_enabled <> 'O'
UNION ALL
SELECT 55, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', polname, relation.name,
        CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
            WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        (SELECT string_agg(role.name, ', ' ORDER BY array_position(polroles, role.oid))
            FROM role WHERE role.oid = ANY (polroles)))
    || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '')
    || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
FROM relation JOIN pg_policy ON polrelid = relation.oid
UNION ALL
SELECT 56, 'ALTER TABLE ' || name || ' ENABLE ROW LEVEL SECURITY' FROM relation WHERE relrowsecurity
UNION ALL
SELECT 56, 'ALTER TABLE ' || name || ' FORCE ROW LEVEL SECURITY' FROM relation WHERE relforcerowsecurity
UNION ALL
SELECT 60, format('ALTER %s %s ALTER COLUMN %I SET DEFAULT %s', kind, name, attname, pg_get_expr(adbin, adrelid))
FROM relation JOIN pg_attrdef ON adrelid = relation.oid
JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE relkind = 'v'
UNION ALL
SELECT 60, format('ALTER %s %s ALTER COLUMN %I SET STORAGE %s', kind, name, attname,
    CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END)
FROM relation JOIN pg_attribute ON attrelid = relation.oid JOIN pg_type ON pg_type.oid = atttypid
WHERE relkind IN ('r', 'p', 'm') AND attnum > 0 AND NOT attisdropped AND attstorage <> typstorage
UNION ALL
-- An index's columns have numbers in place of names.
SELECT 60, format('ALTER %s %s ALTER COLUMN %s SET STATISTICS %s', kind, name,
    CASE WHEN relkind IN ('i', 'I') THEN attnum::text ELSE quote_ident(attname) END, attstattarget)
FROM relation JOIN pg_attribute ON attrelid = relation.oid
WHERE relkind IN ('r', 'p', 'm', 'i', 'I') AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0
    AND (relkind NOT IN ('i', 'I') OR attstattarget > 0)
UNION ALL
SELECT 60, format('ALTER STATISTICS %I SET STATISTICS %s', stxname, stxstattarget)
FROM home JOIN pg_statistic_ext ON stxnamespace = home.oid
WHERE stxstattarget >= 0
UNION ALL
SELECT 60, format('ALTER %s %s ALTER COLUMN %I SET (%s)', kind, name, attname, array_to_string(attoptions, ', '))
FROM relation JOIN pg_attribute ON attrelid = relation.oid
WHERE relkind IN ('r', 'p', 'm') AND attoptions IS NOT NULL AND NOT attisdropped
UNION ALL
-- An index that a constraint made; others were made with their options.
SELECT 60, format('ALTER INDEX %s SET (%s)', name, array_to_string(reloptions, ', '))
FROM relation
WHERE relkind = 'i' AND reloptions IS NOT NULL AND EXISTS (
    SELECT FROM pg_constraint WHERE conindid = relation.oid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 61, format('ALTER TABLE %s REPLICA IDENTITY %s', name, CASE relreplident
    WHEN 'n' THEN 'NOTHING' WHEN 'f' THEN 'FULL' ELSE 'USING INDEX ' || (
        SELECT indexrelid::regclass FROM pg_index WHERE indrelid = relation.oid AND indisreplident) END)
FROM relation
WHERE relkind IN ('r', 'p', 'm') AND relreplident <> 'd'
UNION ALL
SELECT 61, format('ALTER %s %s CLUSTER ON %s', kind, name, indexrelid::regclass)
FROM relation JOIN pg_index ON indrelid = relation.oid
WHERE indisclustered
UNION ALL
SELECT 70, format('COMMENT ON %s IS %L', target, description) FROM comment
UNION ALL
SELECT 80 + given, concat(
        CASE given WHEN 1 THEN 'GRANT ' ELSE 'REVOKE ' END, privilege_type, columns, ' ON ', target,
        CASE given WHEN 1 THEN ' TO ' ELSE ' FROM ' END, role.name,
        CASE WHEN given = 1 AND is_grantable THEN ' WITH GRANT OPTION' END)
FROM granted JOIN role ON role.oid = grantee
ORDER BY stage, statement
