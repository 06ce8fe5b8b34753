-- Which of what is made first needs which other: (catalog, oid, its catalog, its oid).
WITH home AS (
    SELECT oid FROM pg_namespace WHERE nspname = current_schema()
),
made AS (
    SELECT 'pg_class'::regclass::oid AS catalog, c.oid FROM pg_class AS c JOIN home ON relnamespace = home.oid
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid FROM pg_proc AS p JOIN home ON pronamespace = home.oid
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid FROM pg_type AS t JOIN home ON typnamespace = home.oid
    WHERE typtype IN ('e', 'd', 'r') OR (
        typtype = 'c' AND (SELECT relkind FROM pg_class WHERE pg_class.oid = typrelid) = 'c')
),
-- What stands for one of these in pg_depend.
part AS (
    SELECT catalog, oid, catalog AS part_catalog, oid AS part FROM made
    UNION ALL
    SELECT 'pg_class'::regclass, typrelid, 'pg_type'::regclass, t.oid FROM pg_type AS t JOIN home ON typnamespace = home.oid
    WHERE typtype = 'c'
    UNION ALL
    SELECT 'pg_type'::regclass, reltype, 'pg_class'::regclass, c.oid FROM pg_class AS c JOIN home ON relnamespace = home.oid
    WHERE relkind = 'c'
    UNION ALL
    SELECT 'pg_type'::regclass, typelem, 'pg_type'::regclass, t.oid FROM pg_type AS t JOIN home ON typnamespace = home.oid
    WHERE typelem <> 0
    UNION ALL
    SELECT 'pg_class'::regclass, t.typrelid, 'pg_type'::regclass, a.oid
    FROM pg_type AS a JOIN home ON a.typnamespace = home.oid JOIN pg_type AS t ON t.oid = a.typelem
    WHERE t.typtype = 'c'
    UNION ALL
    SELECT 'pg_type'::regclass, rngtypid, 'pg_type'::regclass, rngmultitypid
    FROM pg_range JOIN made ON made.oid = rngtypid
    UNION ALL
    SELECT 'pg_class'::regclass, adrelid, 'pg_attrdef'::regclass, pg_attrdef.oid FROM pg_attrdef JOIN made ON made.oid = adrelid
    UNION ALL
    SELECT 'pg_class'::regclass, ev_class, 'pg_rewrite'::regclass, pg_rewrite.oid FROM pg_rewrite JOIN made ON made.oid = ev_class
    WHERE rulename = '_RETURN'
    UNION ALL
    SELECT CASE WHEN conrelid = 0 THEN 'pg_type' ELSE 'pg_class' END::regclass,
        CASE WHEN conrelid = 0 THEN contypid ELSE conrelid END, 'pg_constraint'::regclass, c.oid
    FROM pg_constraint AS c JOIN home ON connamespace = home.oid
    WHERE contype IN ('p', 'u', 'c', 'x', 'n')
)
SELECT DISTINCT part.catalog, part.oid, needed.catalog, needed.oid
FROM part
JOIN pg_depend ON classid = part.part_catalog AND objid = part.part
JOIN part AS needed ON refclassid = needed.part_catalog AND refobjid = needed.part
WHERE (part.catalog, part.oid) <> (needed.catalog, needed.oid)
    -- A sequence is made before the column that it belongs to.
    AND NOT EXISTS (
        SELECT FROM pg_class
        WHERE part.part_catalog = 'pg_class'::regclass AND pg_class.oid = part.part AND relkind = 'S')
    -- A partition is made by itself and attached.
    AND NOT EXISTS (
        SELECT FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
        WHERE pg_class.oid = part.oid AND relispartition AND inhparent = needed.oid)
