-- What the schema that the setting `domicile.schema` names looks like: rows of (object, definition).
--
-- It starts at the schema's row and follows pg_depend to what is in it, so it costs the same however
-- many schemas there are. Where the setting `domicile.relations` is not empty, it is a JSON array of
-- names, and only the tables, views and sequences that are called so are looked at. Where the setting
-- `domicile.in_full` is not empty, who asks wants them all, not their digest. `OFFSET 0` keeps a
-- sub-select from being merged into the query around it: each is an index scan for one object, never a
-- join over all of a catalog.
--
-- From the first row on, the search path is the schema alone (behind pg_catalog, in front of which a
-- tenant could put operators of its own). So what is deparsed names what is in the schema without the
-- schema's name and what is elsewhere with its own, while texts that contain the name stay as they are.
--
-- To plan all of it takes longer than to run it, and has to be done again whenever anybody makes a
-- schema. So what few homes have is in `catalog_rare.sql`, and asked for only where `unusual` says so.
WITH home AS MATERIALIZED (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
        -- A role that cannot log in is a tenant's own: who owns what is then a matter of access.
        n.nspowner <> 'pg_database_owner'::regrole
            AND (SELECT NOT rolcanlogin FROM pg_roles WHERE pg_roles.oid = n.nspowner) AS has_role,
        EXISTS (SELECT FROM pg_extension WHERE extnamespace = n.oid) AS has_extension,
        ARRAY(
            SELECT jsonb_array_elements_text(nullif(current_setting('domicile.relations', true), '')::jsonb)
        )::name[] AS relations,
        coalesce(current_setting('domicile.in_full', true), '') <> '' AS in_full,
        set_config('search_path', quote_ident(n.nspname), true)
    FROM pg_namespace AS n
    WHERE n.nspname = current_setting('domicile.schema')::name
),
-- Operator classes that are not what an index of their type has anyway, by oid.
special AS MATERIALIZED (
    SELECT jsonb_object_agg(oid::text, opcname) AS opclasses FROM pg_opclass WHERE NOT opcdefault
),
member AS MATERIALIZED (
    SELECT d.classid, d.objid
    FROM home, LATERAL (
        SELECT classid, objid FROM pg_depend
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = home.oid
            AND deptype IN ('n', 'a') -- Default privileges are an automatic one.
        OFFSET 0
    ) AS d
    -- What an extension brought is not the home's.
    WHERE home.relations = '{}' AND (NOT home.has_extension OR NOT EXISTS (
        SELECT FROM pg_depend AS e
        WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e'
        OFFSET 0
    ))

    UNION ALL
    SELECT 'pg_class'::regclass, c.oid
    FROM home, LATERAL (
        SELECT oid FROM pg_class
        WHERE relname = ANY (home.relations) AND relnamespace = home.oid
        OFFSET 0
    ) AS c
),
relation AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relhastriggers, c.relhasrules, quote_ident(c.relname) AS name,
        CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
            WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || quote_ident(c.relname) AS object,
        ltrim(CASE c.relpersistence WHEN 'u' THEN ' unlogged' WHEN 't' THEN ' temporary' ELSE '' END
        || CASE WHEN c.relkind = 'p' THEN ' partitioned by ' || pg_get_partkeydef(c.oid) ELSE '' END
        || CASE WHEN c.relispartition THEN ' ' || pg_get_expr(c.relpartbound, c.oid) ELSE '' END
        || CASE WHEN c.relam IN (0, 2) THEN '' ELSE ' using ' || (SELECT amname FROM pg_am WHERE oid = c.relam) END
        || CASE WHEN c.relrowsecurity THEN ' with row security' ELSE '' END
        || CASE WHEN c.relforcerowsecurity THEN ' forced' ELSE '' END
        || CASE WHEN c.relreplident IN ('d', 'n') THEN '' ELSE ' replica identity ' || c.relreplident::text END
        || coalesce(' with ' || c.reloptions::text, '')
        || CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) ELSE '' END
        || CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN ' with no data' ELSE '' END
        || CASE WHEN home.has_role AND c.relowner <> home.nspowner
            THEN ' owned by ' || pg_get_userbyid(c.relowner) ELSE '' END
        ) AS definition,
        c.relkind IN ('r', 'p', 'f') AS is_table,
        -- Whether it may have facts of those in `catalog_rare.sql`.
        c.relkind NOT IN ('r', 'S') OR c.relacl IS NOT NULL OR c.relhasrules OR coalesce(
            (SELECT true FROM pg_description WHERE objoid = c.oid AND classoid = 'pg_class'::regclass LIMIT 1),
            CASE WHEN c.relhastriggers
                THEN (SELECT true FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal LIMIT 1) END,
            CASE WHEN c.relkind = 'r' THEN coalesce(
                (SELECT true FROM pg_inherits WHERE inhrelid = c.oid LIMIT 1),
                (SELECT true FROM pg_policy WHERE polrelid = c.oid LIMIT 1)) END,
            false) AS is_rare,
        -- Quoted, by number. The numbers differ between homes that are alike: a column that was
        -- dropped keeps its own.
        CASE WHEN c.relkind <> 'S' THEN ARRAY(
            SELECT quote_ident(attname) FROM pg_attribute
            WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum
        ) END AS columns
    FROM home, member, LATERAL (
        SELECT * FROM pg_class WHERE pg_class.oid = member.objid OFFSET 0
    ) AS c
    WHERE member.classid = 'pg_class'::regclass
),
common (object, definition) AS (
    SELECT object, definition FROM relation

    UNION ALL
    SELECT 'column ' || r.name || '.' || quote_ident(a.attname),
        format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attcollation IN (0, 100) THEN '' ELSE ' collate ' || a.attcollation::regcollation::text END
        || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
        || CASE a.attidentity WHEN '' THEN '' WHEN 'a' THEN ' identity always' ELSE ' identity' END
        || CASE WHEN a.atthasdef THEN
            CASE a.attgenerated WHEN '' THEN ' default ' WHEN 's' THEN ' stored ' ELSE ' virtual ' END
            || (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = a.attrelid AND adnum = a.attnum)
            ELSE '' END
        || CASE WHEN a.attacl IS NULL THEN '' ELSE coalesce((
            SELECT string_agg(' grants ' || privilege_type || ' to ' || CASE grantee WHEN 0 THEN 'public'
                ELSE quote_ident(pg_get_userbyid(grantee)) END, '' ORDER BY privilege_type, grantee)
            FROM aclexplode(a.attacl) WHERE grantee NOT IN (r.relowner, (SELECT nspowner FROM home))
        ), '') END
    FROM relation AS r, LATERAL (
        SELECT * FROM pg_attribute
        WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped
        OFFSET 0
    ) AS a
    WHERE r.is_table

    UNION ALL
    -- Since version 18 NOT NULL is a constraint too. Nobody names it, and the column says it; except
    -- where it is not valid yet.
    SELECT 'constraint ' || r.name || '.' || CASE c.contype
            WHEN 'n' THEN 'not null ' || r.columns[c.conkey[1]] ELSE quote_ident(c.conname) END,
        CASE WHEN c.contype NOT IN ('p', 'u', 'f', 'c') OR NOT c.convalidated THEN pg_get_constraintdef(c.oid, true)
        ELSE
            CASE c.contype
                WHEN 'p' THEN 'primary key (' || c.key || ')'
                WHEN 'u' THEN 'unique (' || c.key || ')'
                WHEN 'c' THEN 'check (' || pg_get_expr(c.conbin, c.conrelid, true) || ')'
                    || CASE WHEN c.connoinherit THEN ' no inherit' ELSE '' END
                -- Which columns it refers to is a matter of the index there.
                ELSE 'foreign key (' || c.key || ') references ' || c.confrelid::regclass::text
                    || ' by ' || c.conindid::regclass::text
                    || CASE c.confmatchtype WHEN 's' THEN '' ELSE ' match full' END
                    || CASE c.confupdtype WHEN 'a' THEN '' WHEN 'r' THEN ' on update restrict'
                        WHEN 'c' THEN ' on update cascade' WHEN 'n' THEN ' on update set null'
                        ELSE ' on update set default' END
                    || CASE c.confdeltype WHEN 'a' THEN '' WHEN 'r' THEN ' on delete restrict'
                        WHEN 'c' THEN ' on delete cascade' WHEN 'n' THEN ' on delete set null'
                        ELSE ' on delete set default' END
                    || CASE WHEN c.confdelsetcols IS NULL THEN '' ELSE
                        ' (' || array_to_string(ARRAY(SELECT r.columns[k] FROM unnest(c.confdelsetcols) AS k), ', ') || ')' END
            END
            || CASE WHEN c.condeferrable THEN ' deferrable' ELSE '' END
            || CASE WHEN c.condeferred THEN ' initially deferred' ELSE '' END
        END
    FROM relation AS r, LATERAL (
        SELECT *, CASE WHEN conkey[2] IS NULL THEN r.columns[conkey[1]]
            ELSE array_to_string(ARRAY(SELECT r.columns[k] FROM unnest(conkey) AS k), ', ') END AS key
        FROM pg_constraint
        WHERE conrelid = r.oid AND (contype <> 'n' OR NOT convalidated OR connoinherit)
        OFFSET 0
    ) AS c
    WHERE r.is_table

    UNION ALL
    SELECT 'index ' || r.name || '.' || quote_ident(c.relname),
        CASE c.relam WHEN 403 THEN 'btree' ELSE (SELECT amname FROM pg_am WHERE oid = c.relam) END
        || CASE WHEN i.indisunique THEN ' unique (' ELSE ' (' END
        || CASE WHEN i.indnatts = 1 AND i.indkey[0] > 0 AND i.indcollation[0] IN (0, 100) AND i.indoption[0] = 0
        -- Nearly all are of one column.
        THEN r.columns[i.indkey[0]] || coalesce(' ' || (special.opclasses ->> i.indclass[0]::text), '')
        ELSE array_to_string(ARRAY(
            SELECT CASE i.indkey[k] WHEN 0 THEN pg_get_indexdef(i.indexrelid, k + 1, true) ELSE r.columns[i.indkey[k]] END
                || CASE WHEN i.indcollation[k] IN (0, 100) THEN '' ELSE ' collate ' || i.indcollation[k]::regcollation::text END
                || coalesce(' ' || (special.opclasses ->> i.indclass[k]::text), '')
                || CASE i.indoption[k] WHEN 0 THEN '' WHEN 1 THEN ' desc nulls last' WHEN 2 THEN ' nulls first' ELSE ' desc' END
            FROM generate_series(0, i.indnkeyatts - 1) AS k
        ), ', ') END || ')'
        || CASE WHEN i.indnatts > i.indnkeyatts THEN ' include ' || ARRAY(
            SELECT r.columns[i.indkey[k]] FROM generate_series(i.indnkeyatts::int, i.indnatts - 1) AS k)::text ELSE '' END
        || CASE WHEN i.indnullsnotdistinct THEN ' nulls not distinct' ELSE '' END
        || CASE WHEN i.indpred IS NULL THEN '' ELSE ' where ' || pg_get_expr(i.indpred, i.indrelid, true) END
        || CASE WHEN i.indisreplident THEN ' replica identity' ELSE '' END
        || CASE WHEN i.indisclustered THEN ' clustered' ELSE '' END
        || coalesce(' with ' || c.reloptions::text, '')
        || CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE ' invalid' END
    FROM special, relation AS r, LATERAL (
        SELECT * FROM pg_index WHERE indrelid = r.oid OFFSET 0
    ) AS i, LATERAL (
        SELECT * FROM pg_class WHERE pg_class.oid = i.indexrelid OFFSET 0
    ) AS c
    WHERE r.is_table OR r.relkind = 'm'

    UNION ALL
    SELECT 'properties of ' || r.object,
        format_type(s.seqtypid, NULL) || ' from ' || s.seqstart || ' by ' || s.seqincrement
        || ' in ' || s.seqmin || ' to ' || s.seqmax || ' cache ' || s.seqcache
        || CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END
        || coalesce((
            SELECT ' owned by ' || refobjid::regclass::text || '.' || (
                SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = d.refobjid AND attnum = d.refobjsubid)
            FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
        ), '')
    FROM relation AS r, LATERAL (
        SELECT * FROM pg_sequence WHERE seqrelid = r.oid OFFSET 0
    ) AS s
    WHERE r.relkind = 'S'
),
unusual (is_so) AS (
    SELECT home.nspacl IS NOT NULL OR home.has_extension
        OR EXISTS (SELECT FROM member WHERE classid <> 'pg_class'::regclass)
        OR EXISTS (SELECT FROM relation WHERE is_rare)
    FROM home
),
