-- Of the statement that `catalog.sql` begins, all that was found.
--
-- `column IN ('a', 'b')` of a varchar is deparsed with one cast of the array and, once that text was
-- read, with a cast of each member. Both say the same, and are left out.
fact (object, definition) AS (
    SELECT object, CASE WHEN definition LIKE '%''::character varying%' THEN
        regexp_replace(
            regexp_replace(definition,
                '\((''(?:[^'']|'''')*''::character varying)\)::text\M(?!\[)'
                '|(''(?:[^'']|'''')*''::character varying)::text\M(?!\[)',
                '\1\2', 'g'),
            '\((ARRAY\[(?:[^]'']|''(?:[^'']|'''')*'')*\])\)::text\[\]'
            '|(ARRAY\[(?:[^]'']|''(?:[^'']|'''')*'')*\])::text\[\]',
            '\1\2', 'g')
        ELSE definition END
    FROM deparsed
)
