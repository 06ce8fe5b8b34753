-- What the schema that the setting `domicile.schema` names looks like: rows of (object, definition).
--
-- It starts at the schema's row and follows pg_depend to what is in it, so it costs the same however
-- many schemas there are. Where the setting `domicile.relations` is not empty, it is a JSON array of
-- names, and only the tables, views and sequences that are called so are looked at. `OFFSET 0` keeps a
-- sub-select from being merged into the query around it: each is an index scan for one object, never a
-- join over all of a catalog.
--
-- From the first row on, the search path is the schema alone (behind pg_catalog, in front of which a
-- tenant could put operators of its own). So what is deparsed names what is in the schema without the
-- schema's name and what is elsewhere with its own, while texts that contain the name stay as they are.
WITH home AS MATERIALIZED (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
        -- A role that cannot log in is a tenant's own: who owns what is then a matter of access.
        n.nspowner <> 'pg_database_owner'::regrole
            AND (SELECT NOT rolcanlogin FROM pg_roles WHERE pg_roles.oid = n.nspowner) AS has_role,
        EXISTS (SELECT FROM pg_extension WHERE extnamespace = n.oid) AS has_extension,
        ARRAY(
            SELECT jsonb_array_elements_text(nullif(current_setting('domicile.relations', true), '')::jsonb)
        )::name[] AS relations,
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
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = home.oid AND deptype = 'n'
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
function AS MATERIALIZED (
    SELECT p.*, quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name
    FROM member, LATERAL (
        SELECT * FROM pg_proc WHERE pg_proc.oid = member.objid OFFSET 0
    ) AS p
    WHERE member.classid = 'pg_proc'::regclass
),
type AS MATERIALIZED (
    SELECT t.*, quote_ident(t.typname) AS name
    FROM member, LATERAL (
        SELECT * FROM pg_type WHERE pg_type.oid = member.objid OFFSET 0
    ) AS t
    WHERE member.classid = 'pg_type'::regclass
),
deparsed (object, definition) AS (
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
    SELECT 'parents of ' || r.name, string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
    FROM relation AS r, LATERAL (
        SELECT inhparent, inhseqno FROM pg_inherits WHERE inhrelid = r.oid OFFSET 0
    ) AS i
    WHERE r.is_table
    GROUP BY r.name

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

    UNION ALL
    SELECT 'trigger ' || r.name || '.' || quote_ident(t.tgname),
        pg_get_triggerdef(t.oid, true)
        || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled' ELSE ' enabled ' || t.tgenabled::text END
        || coalesce(' -- ' || obj_description(t.oid, 'pg_trigger'), '')
    FROM relation AS r, LATERAL (
        SELECT * FROM pg_trigger WHERE tgrelid = r.oid AND NOT tgisinternal OFFSET 0
    ) AS t
    WHERE r.relhastriggers

    UNION ALL
    SELECT 'rule ' || r.name || '.' || quote_ident(w.rulename),
        pg_get_ruledef(w.oid, true) || CASE w.ev_enabled WHEN 'O' THEN '' ELSE ' enabled ' || w.ev_enabled::text END
    FROM relation AS r, LATERAL (
        SELECT * FROM pg_rewrite WHERE ev_class = r.oid AND rulename <> '_RETURN' OFFSET 0
    ) AS w
    WHERE r.relhasrules

    UNION ALL
    SELECT 'policy ' || r.name || '.' || quote_ident(p.polname),
        CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
            WHEN 'w' THEN 'update' ELSE 'delete' END
        || CASE WHEN p.polpermissive THEN '' ELSE ' restrictive' END
        || ' to ' || (
            SELECT string_agg(CASE WHEN k = 0 THEN 'public' WHEN k = home.nspowner AND home.has_role THEN 'the tenant'
                ELSE quote_ident(pg_get_userbyid(k)) END, ', ')
            FROM unnest(p.polroles) AS k)
        || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '')
        || coalesce(' with check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
        || coalesce(' -- ' || obj_description(p.oid, 'pg_policy'), '')
    FROM home, relation AS r, LATERAL (
        SELECT * FROM pg_policy WHERE polrelid = r.oid OFFSET 0
    ) AS p
    WHERE r.relkind IN ('r', 'p')

    UNION ALL
    SELECT 'function ' || f.name,
        concat_ws(' ',
            CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' END,
            '(' || pg_get_function_arguments(f.oid) || ')',
            'returns ' || pg_get_function_result(f.oid),
            'language ' || (SELECT lanname FROM pg_language WHERE oid = f.prolang),
            CASE f.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
            CASE WHEN f.proisstrict THEN 'strict' END,
            CASE WHEN f.prosecdef THEN 'security definer' END,
            CASE WHEN f.proleakproof THEN 'leakproof' END,
            CASE f.proparallel WHEN 'u' THEN NULL WHEN 's' THEN 'parallel safe' ELSE 'parallel restricted' END,
            'cost ' || f.procost::text, 'rows ' || f.prorows::text,
            'support ' || nullif(f.prosupport, 0)::regproc::text,
            'set ' || (
                -- A path that is the schema's own is the same in every home.
                SELECT string_agg(CASE WHEN c LIKE 'search_path=%'
                    THEN regexp_replace(c,
                        '(=|, )' || regexp_replace(quote_ident(home.nspname), '(\W)', '\\\1', 'g') || '(?=,|$)',
                        '\1home')
                    ELSE c END, ', ')
                FROM unnest(f.proconfig) AS c),
            coalesce(pg_get_function_sqlbody(f.oid), f.prosrc),
            f.probin,
            CASE WHEN home.has_role AND f.proowner <> home.nspowner THEN 'owned by ' || pg_get_userbyid(f.proowner) END,
            (SELECT concat_ws(' ', aggkind, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,
                    aggminvtransfn, aggmfinalfn, format_type(aggtranstype, NULL), aggsortop::regoperator,
                    agginitval, aggminitval, aggfinalmodify)
                FROM pg_aggregate WHERE aggfnoid = f.oid)
        )
    FROM home, function AS f

    UNION ALL
    SELECT 'type ' || t.name,
        CASE t.typtype
            WHEN 'e' THEN 'enum ' || ARRAY(
                SELECT quote_literal(enumlabel) FROM pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder)::text
            WHEN 'd' THEN 'domain ' || format_type(t.typbasetype, t.typtypmod)
                || CASE WHEN t.typcollation IN (0, 100) THEN '' ELSE ' collate ' || t.typcollation::regcollation::text END
                || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
                || coalesce(' default ' || pg_get_expr(t.typdefaultbin, 0), '')
            WHEN 'c' THEN 'composite ' || ARRAY(
                SELECT quote_ident(attname) || ' ' || format_type(atttypid, atttypmod)
                    || CASE WHEN attcollation IN (0, 100) THEN '' ELSE ' collate ' || attcollation::regcollation::text END
                FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)::text
            WHEN 'r' THEN 'range of ' || (
                SELECT concat_ws(' ', format_type(rngsubtype, NULL), nullif(rngcanonical, 0), nullif(rngsubdiff, 0))
                FROM pg_range WHERE rngtypid = t.oid)
            ELSE concat_ws(' ', 'base', t.typinput, t.typoutput, t.typlen, t.typalign, t.typstorage)
        END
        || CASE WHEN home.has_role AND t.typowner <> home.nspowner
            THEN ' owned by ' || pg_get_userbyid(t.typowner) ELSE '' END
    FROM home, type AS t

    UNION ALL
    SELECT 'constraint ' || t.name || '.' || CASE c.contype WHEN 'n' THEN 'not null' ELSE quote_ident(c.conname) END,
        pg_get_constraintdef(c.oid, true)
    FROM type AS t, LATERAL (
        SELECT * FROM pg_constraint WHERE contypid = t.oid AND contype <> 'n' OFFSET 0
    ) AS c
    WHERE t.typtype = 'd'

    UNION ALL
    SELECT 'statistics ' || quote_ident(s.stxname),
        s.stxkind::text || ' of ' || s.stxrelid::regclass::text
        || ARRAY(SELECT (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = s.stxrelid AND attnum = k)
            FROM unnest(s.stxkeys) AS k ORDER BY 1)::text
        || coalesce(pg_get_statisticsobjdef_expressions(s.oid)::text, '')
    FROM member, LATERAL (
        SELECT * FROM pg_statistic_ext WHERE pg_statistic_ext.oid = member.objid OFFSET 0
    ) AS s
    WHERE member.classid = 'pg_statistic_ext'::regclass

    UNION ALL
    -- Operators, collations, text search configurations and the like: that they are there.
    SELECT o.type || ' ' || CASE member.classid WHEN 'pg_operator'::regclass THEN member.objid::regoperator::text
            ELSE coalesce(o.name, substr(o.identity, length(quote_ident(home.nspname)) + 2)) END,
        ''
    FROM home, member, LATERAL pg_identify_object(member.classid, member.objid, 0) AS o
    WHERE member.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass,
        'pg_statistic_ext'::regclass, 'pg_default_acl'::regclass)

    UNION ALL
    SELECT 'comment on ' || CASE d.objsubid WHEN 0 THEN r.object
            ELSE 'column ' || r.name || '.' || r.columns[d.objsubid] END,
        d.description
    FROM relation AS r, LATERAL (
        SELECT * FROM pg_description WHERE objoid = r.oid AND classoid = 'pg_class'::regclass OFFSET 0
    ) AS d

    UNION ALL
    SELECT 'comment on ' || o.object, d.description
    FROM (
        SELECT 'pg_proc'::regclass AS classid, oid, 'function ' || name AS object FROM function
        UNION ALL SELECT 'pg_type'::regclass, oid, 'type ' || name FROM type
    ) AS o, LATERAL (
        SELECT description FROM pg_description WHERE objoid = o.oid AND classoid = o.classid AND objsubid = 0 OFFSET 0
    ) AS d

    UNION ALL
    -- Whoever owns an object, or the schema, has the right to it in any home.
    SELECT 'grant on ' || o.object || ' to '
            || CASE a.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
        string_agg(
            a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END,
            ', ' ORDER BY a.privilege_type)
    FROM home, (
        SELECT object, relowner AS owner, relacl AS acl FROM relation WHERE relacl IS NOT NULL
        UNION ALL SELECT 'function ' || name, proowner, coalesce(proacl, acldefault('f', proowner)) FROM function
        UNION ALL SELECT 'type ' || name, typowner, coalesce(typacl, acldefault('T', typowner)) FROM type
        UNION ALL SELECT 'schema', nspowner, nspacl FROM home WHERE nspacl IS NOT NULL
        UNION ALL SELECT 'new objects of kind ' || d.defaclobjtype::text, d.defaclrole, d.defaclacl
            FROM member, pg_default_acl AS d
            WHERE member.classid = 'pg_default_acl'::regclass AND d.oid = member.objid
    ) AS o, LATERAL aclexplode(o.acl) AS a
    WHERE a.grantee NOT IN (o.owner, home.nspowner)
    GROUP BY o.object, a.grantee
),
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
