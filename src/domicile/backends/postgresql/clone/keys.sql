-- Foreign keys: (table, its oid, the oid of what it refers to, definition, may be in CREATE TABLE).
SELECT conrelid::regclass::text, conrelid, confrelid,
    format('CONSTRAINT %I %s', conname, pg_get_constraintdef(con.oid)),
    convalidated AND relkind = 'r' AND NOT relispartition
FROM pg_constraint AS con JOIN pg_class ON pg_class.oid = conrelid
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND contype = 'f' AND conparentid = 0
ORDER BY con.conrelid, con.conname
