-- All sequences, those of identity columns among them, by name.
SELECT quote_ident(relname), quote_literal(quote_ident(relname)), seqstart
FROM pg_class JOIN pg_sequence ON seqrelid = pg_class.oid
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind = 'S'
ORDER BY relname
