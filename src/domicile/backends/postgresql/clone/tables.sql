-- Tables that hold rows of their own: (oid, name, the columns to write).
SELECT c.oid, quote_ident(relname), coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), '')
FROM pg_class AS c
LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind = 'r'
GROUP BY c.oid, relname
ORDER BY relname
