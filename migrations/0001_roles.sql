-- Why: the roles, schemas and rules that every later table relies on. A request never runs as a login role: it runs as
-- one of the lane roles below, for one transaction, and row-level security decides what it sees.
--
-- Roles belong to the cluster, not to the database, and two migrations may run at once: hence the two caught errors.
do $$
declare
  r text;
begin
  foreach r in array array['anon', 'authenticated', 'visitor', 'service', 'moat_definer'] loop
    begin
      execute format('create role %I nologin noinherit', r);
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
end $$;

create schema if not exists app;
create schema if not exists gate;
create schema if not exists auth;

revoke all on schema app from public;
revoke all on schema gate from public;
revoke all on schema auth from public;
revoke create on schema public from public;
grant usage on schema app, auth to authenticated, service, moat_definer;

-- A temporary table or function is a place to stand inside somebody else's transaction.
do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$;

-- Global on purpose: "in schema app" has no effect on the built-in default.
alter default privileges revoke execute on functions from public;

-- Where these two exist already (a Supabase project has them) they stay as they are. No search_path is pinned: that would
-- stop them from being inlined into the policies, at a quarter of the throughput.
do $$
begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable
      as 'select nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb';
    grant execute on function auth.jwt() to authenticated, service, moat_definer;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable
      as 'select (nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb ->> ''sub'')::uuid';
    grant execute on function auth.uid() to authenticated, service, moat_definer;
  end if;
end $$;

-- The one user a job works for, if it was opened for that reason; NULL, which matches no row, otherwise.
create function app.job_user(p_reason text) returns uuid language sql stable
  as 'select case when c ->> ''reason'' = p_reason then (c ->> ''sub'')::uuid end
      from (select nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb as c) claims';
grant execute on function app.job_user(text) to service;

-- Definer functions for jobs call this first, so that a lane opened for one reason cannot do the work of another.
create function app.require_reason(p_reason text) returns void language plpgsql stable as $$
begin
  if (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'reason') is distinct from p_reason then
    raise exception using errcode = '42501', message = 'this lane was opened for another reason';
  end if;
end $$;
grant execute on function app.require_reason(text) to moat_definer;
