-- What is in the schema and cannot be made again from the catalog alone.
WITH home AS (
    SELECT oid FROM pg_namespace WHERE nspname = current_schema()
)
SELECT pg_describe_object(classid, objid, 0)
FROM home JOIN pg_depend ON refclassid = 'pg_namespace'::regclass AND refobjid = home.oid
WHERE NOT CASE classid
    WHEN 'pg_class'::regclass THEN EXISTS (
        SELECT FROM pg_class WHERE oid = objid AND relkind <> 'f' AND reloftype = 0)
    WHEN 'pg_proc'::regclass THEN EXISTS (
        SELECT FROM pg_proc WHERE oid = objid AND prokind <> 'a')
    WHEN 'pg_type'::regclass THEN EXISTS (
        SELECT FROM pg_type WHERE oid = objid AND (typtype <> 'b' OR typelem <> 0))
    ELSE classid IN ('pg_statistic_ext'::regclass, 'pg_constraint'::regclass)
END
UNION
SELECT pg_describe_object(member.classid, member.objid, 0)
FROM home
JOIN pg_depend AS inside ON inside.refclassid = 'pg_namespace'::regclass AND inside.refobjid = home.oid
JOIN pg_depend AS member ON member.classid = inside.classid AND member.objid = inside.objid
WHERE member.deptype = 'e'
ORDER BY 1
