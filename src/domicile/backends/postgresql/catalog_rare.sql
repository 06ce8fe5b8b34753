-- Of the statement that `catalog.sql` begins, what few homes have.
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
rare (object, definition) AS (
    SELECT 'parents of ' || r.name, string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
    FROM relation AS r, LATERAL (
        SELECT inhparent, inhseqno FROM pg_inherits WHERE inhrelid = r.oid OFFSET 0
    ) AS i
    WHERE r.is_table
    GROUP BY r.name

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
        UNION ALL SELECT 'new ' || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                WHEN 'f' THEN 'functions' ELSE 'types' END || CASE d.defaclrole WHEN home.nspowner THEN ''
                ELSE ' of ' || quote_ident(pg_get_userbyid(d.defaclrole)) END,
            d.defaclrole, d.defaclacl
            FROM home, member, pg_default_acl AS d
            WHERE member.classid = 'pg_default_acl'::regclass AND d.oid = member.objid
    ) AS o, LATERAL aclexplode(o.acl) AS a
    WHERE a.grantee NOT IN (o.owner, home.nspowner)
    GROUP BY o.object, a.grantee
),
