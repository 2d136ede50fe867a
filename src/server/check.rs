//! The proof, at each start, that the wall stands. Every check is one catalogue query that must find no offender; the
//! server refuses to start when one does. Tests break each rule and see its check speak.

use sqlx::{Connection, PgConnection};

use super::{lanes::Logins, pool};

/// One rule of the wall.
pub struct Check {
    pub name: &'static str,
    /// What could happen if it did not hold.
    pub why: &'static str,
    /// Gives the offenders, a text each; `$1` to `$3` are the names of the login roles.
    sql: &'static str,
}

/// A rule and who breaks it.
pub struct Finding {
    pub check: &'static Check,
    pub offenders: Vec<String>,
}

/// All of them, in the order of the report.
pub static CHECKS: &[Check] = &[
    Check {
        name: "login roles can do nothing by themselves",
        why: "a request that forgot to open a lane would read what the login role reads",
        sql: "select format('%s is a superuser, bypasses row security, inherits or may make roles or databases', rolname)
                from pg_roles where rolname in ($1, $2, $3)
                 and (rolsuper or rolbypassrls or rolinherit or rolcreaterole or rolcreatedb or rolreplication or not rolcanlogin)
              union all select format('%s inherits %s', m.rolname, r.rolname)
                from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
               where m.rolname in ($1, $2, $3) and coalesce((to_jsonb(a) ->> 'inherit_option')::boolean, false)
              union all select format('the role %s does not exist', r) from unnest(array[$1, $2, $3]) r
                where not exists (select from pg_roles where rolname = r)",
    },
    Check {
        name: "a login role is a member of its lane's role alone",
        why: "an injected SET ROLE could change lanes",
        sql: "select format('%s is a member of %s', m.rolname, r.rolname)
                from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
               where (m.rolname = $1 and r.rolname <> 'authenticated') or (m.rolname = $2 and r.rolname <> 'service') or (m.rolname = $3 and r.rolname <> 'visitor')
              union all select format('%s is no member of %s', x.login, x.lane)
                from (values ($1, 'authenticated'), ($2, 'service'), ($3, 'visitor')) x(login, lane)
               where not exists (select from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
                                  where m.rolname = x.login and r.rolname = x.lane)
              union all select 'two lanes log in as ' || x.login from unnest(array[$1, $2, $3]) x(login) group by x.login having count(*) > 1",
    },
    Check {
        name: "login and lane roles own nothing",
        why: "an owner can switch row security off",
        sql: "select format('%s owns %s', r.rolname, c.oid::regclass) from pg_class c join pg_roles r on r.oid = c.relowner
               where r.rolname in ($1, $2, $3, 'anon', 'authenticated', 'visitor', 'service', 'moat_definer')
              union all select format('%s owns the function %s', r.rolname, p.oid::regprocedure) from pg_proc p join pg_roles r on r.oid = p.proowner
               where r.rolname in ($1, $2, $3, 'anon', 'authenticated', 'visitor', 'service')
              union all select format('%s owns the schema %s', r.rolname, n.nspname) from pg_namespace n join pg_roles r on r.oid = n.nspowner
               where r.rolname in ($1, $2, $3, 'anon', 'authenticated', 'visitor', 'service', 'moat_definer')
                 and n.nspname !~ '^pg_(toast_)?temp_'",
    },
    Check {
        name: "lane roles are plain",
        why: "a lane role that bypasses row security is no lane",
        sql: "select format('%s is a superuser, bypasses row security, may log in or make roles', rolname) from pg_roles
               where rolname in ('anon', 'authenticated', 'visitor', 'service', 'moat_definer')
                 and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb)
              union all select format('%s is a member of %s', m.rolname, r.rolname)
                from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
               where m.rolname in ('anon', 'authenticated', 'visitor', 'service', 'moat_definer')",
    },
    Check {
        name: "nobody can become moat_definer",
        why: "its policies show every tenant",
        sql: "select format('%s can become or inherits moat_definer', m.rolname)
                from pg_auth_members a join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member
               where r.rolname = 'moat_definer'
                 and (coalesce((to_jsonb(a) ->> 'set_option')::boolean, true) or coalesce((to_jsonb(a) ->> 'inherit_option')::boolean, true))",
    },
    Check {
        name: "row security is enabled and forced on every table",
        why: "without it a grant shows all rows",
        sql: "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname in ('app', 'gate', 'auth') and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)",
    },
    Check {
        name: "no table, view or sequence of ours stands in public",
        why: "other software grants its roles everything there",
        sql: "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname = 'public' and c.relkind in ('r', 'p', 'v', 'm', 'S') and c.relname <> '_sqlx_migrations'
                 and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')",
    },
    Check {
        name: "a view shows its reader's rows",
        why: "a view without security_invoker reads with its owner's rights",
        sql: "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname in ('app', 'gate', 'auth')
                 and (c.relkind = 'm' or (c.relkind = 'v' and not coalesce('security_invoker=true' = any(c.reloptions), false)))",
    },
    Check {
        name: "nothing is granted to everybody",
        why: "a right of PUBLIC is a right of every role there will ever be",
        sql: "select format('%s: %s to PUBLIC', c.oid::regclass, x.privilege_type) from pg_class c join pg_namespace n on n.oid = c.relnamespace,
                     aclexplode(c.relacl) x where n.nspname in ('app', 'gate', 'auth') and x.grantee = 0
              union all select format('%s.%s: %s to PUBLIC', c.oid::regclass, a.attname, x.privilege_type)
                from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace, aclexplode(a.attacl) x
               where n.nspname in ('app', 'gate', 'auth') and x.grantee = 0
              union all select format('schema %s: %s to PUBLIC', n.nspname, x.privilege_type) from pg_namespace n, aclexplode(n.nspacl) x
               where n.nspname in ('app', 'gate') and x.grantee = 0
              union all select format('%s: EXECUTE to PUBLIC', p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
                     aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
               where n.nspname in ('app', 'gate') and x.grantee = 0",
    },
    Check {
        name: "login roles may call their opening functions and nothing else",
        why: "outside a lane every read must be refused",
        sql: "select format('%s may %s on %s', r.rolname, x.privilege_type, c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace,
                     aclexplode(c.relacl) x join pg_roles r on r.oid = x.grantee where n.nspname in ('app', 'gate', 'auth') and r.rolname in ($1, $2, $3)
              union all select format('%s may use schema %s', r.rolname, n.nspname) from pg_namespace n, aclexplode(n.nspacl) x
                join pg_roles r on r.oid = x.grantee where r.rolname in ($1, $2, $3) and n.nspname in ('app', 'auth')
              union all select format('%s may call %s', r.rolname, p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace,
                     aclexplode(p.proacl) x join pg_roles r on r.oid = x.grantee
               where n.nspname in ('app', 'gate', 'auth')
                 and ((r.rolname = $1 and p.proname not in ('open', 'open_org', 'look')) or (r.rolname = $2 and p.proname <> 'open_service')
                   or (r.rolname = $3 and p.proname not in ('open_visitor', 'read_desk', 'read_help', 'make_visitor', 'open_relay')))",
    },
    Check {
        name: "every policy names its role",
        why: "a policy TO PUBLIC speaks for roles that nobody thought of",
        sql: "select format('%s on %s.%s', policyname, schemaname, tablename) from pg_policies where 'public' = any(roles)",
    },
    Check {
        name: "only moat_definer is shown everything",
        why: "a policy of true is no policy",
        sql: "select format('%s on %s.%s', policyname, schemaname, tablename) from pg_policies
               where roles <> array['moat_definer']::name[] and (qual = 'true' or with_check = 'true')",
    },
    Check {
        name: "functions with other rights are pinned",
        why: "a definer function that looks names up in the caller's search_path runs the caller's code",
        sql: "select format('%s is not pinned', p.oid::regprocedure) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname in ('app', 'gate', 'auth') and p.prosecdef and not coalesce('search_path=\"\"' = any(p.proconfig), false)
              union all select format('%s belongs to %s', p.oid::regprocedure, r.rolname) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                join pg_roles r on r.oid = p.proowner where n.nspname in ('app', 'gate') and p.prosecdef and r.rolname <> 'moat_definer'",
    },
    Check {
        name: "no request role may truncate, refer or set triggers",
        why: "row security does not apply to these",
        sql: "select format('%s may %s %s', r.rolname, x.privilege_type, c.oid::regclass) from pg_class c join pg_namespace n on n.oid = c.relnamespace,
                     aclexplode(c.relacl) x join pg_roles r on r.oid = x.grantee
               where n.nspname in ('app', 'gate', 'auth') and x.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
                 and r.rolname in ('anon', 'authenticated', 'visitor', 'service', 'moat_definer')",
    },
    Check {
        name: "rows do not change hands",
        why: "a row could be moved to another user",
        sql: "select format('%s may update %s.%s', r.rolname, c.oid::regclass, a.attname)
                from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
                cross join unnest(array['anon', 'authenticated', 'visitor', 'service']) r(rolname)
               where n.nspname = 'app' and c.relkind in ('r', 'p') and a.attname in ('user_id', 'workspace_id', 'project_id')
                 and has_column_privilege(r.rolname, c.oid, a.attnum, 'UPDATE')",
    },
    Check {
        name: "nobody may make temporary tables or functions",
        why: "they are a place to stand inside somebody else's transaction",
        sql: "select format('%s may', r) from unnest(array[$1, $2, $3, 'anon', 'authenticated', 'visitor', 'service']) r
               where exists (select from pg_roles where rolname = r) and has_database_privilege(r, current_database(), 'TEMPORARY')",
    },
];

/// Runs all checks over one connection of a login role. The catalogue is readable by everybody.
pub async fn run(logins: &Logins) -> Result<Vec<Finding>, sqlx::Error> {
    let mut conn = pool::connect(&logins.user).await?;
    let names = [&logins.user, &logins.service, &logins.visitor].map(|login| login.get_username());
    let found = run_on(&mut conn, names).await?;
    conn.close().await?;
    Ok(found)
}

/// The same on an open connection, which may be in a transaction.
pub async fn run_on(conn: &mut PgConnection, logins: [&str; 3]) -> Result<Vec<Finding>, sqlx::Error> {
    let mut found = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        let mut query = sqlx::query_scalar(check.sql);
        for name in logins.iter().take(parameters(check.sql)) {
            query = query.bind(*name);
        }
        found.push(Finding { check, offenders: query.fetch_all(&mut *conn).await? });
    }
    Ok(found)
}

/// Postgres refuses more parameters than a statement has.
fn parameters(sql: &str) -> usize {
    if sql.contains("$1") { 3 } else { 0 }
}

/// The report in words: everything and what it comes to, or only what does not hold.
pub fn report(findings: &[Finding], whole: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        let holds = finding.offenders.is_empty();
        if holds && !whole {
            continue;
        }
        text.push_str(&format!("{} {}\n", if holds { "holds   " } else { "BROKEN  " }, finding.check.name));
        for offender in &finding.offenders {
            text.push_str(&format!("           {offender}\n"));
        }
        if !holds {
            text.push_str(&format!("           why it matters: {}\n", finding.check.why));
        }
    }
    if whole {
        text.push_str(&match findings.iter().filter(|f| !f.offenders.is_empty()).count() {
            0 => "The wall is whole.".to_owned(),
            1 => "The wall has 1 hole.".to_owned(),
            holes => format!("The wall has {holes} holes."),
        });
    }
    text
}
