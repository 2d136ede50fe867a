-- Why: workspaces, which people share, and the projects in them. Who belongs is a row here and nothing in a token, so that
-- taking the row away takes all of it away, at the next statement.
create table app.workspaces (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text not null default '',
  -- Whose own workspace it is. Nobody else can be in it.
  personal_of uuid references app.users on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz,
  constraint workspaces_personal_once unique (personal_of),
  constraint workspaces_name_length check (length(name) between 1 and 80),
  constraint workspaces_description_length check (length(description) <= 2000)
);
comment on column app.workspaces.deleted_at is 'no lane opens in it any more; an owner can take it back until app.sweep_workspaces comes by';

-- Name, address and status are copied from the person's own row by a trigger: a policy that looked them up there would be asked
-- for each row, and 20,000 members could not be sorted by an index.
create table app.workspace_members (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null references app.workspaces on delete cascade,
  user_id uuid not null references app.users on delete cascade,
  role text not null,
  invited_by uuid,
  email text not null default '',
  name text not null default '',
  status text not null default 'active',
  -- What a list is sorted by. Stored, since lower() is not LEAKPROOF: under row security no index would be asked for it.
  sort_name text not null generated always as (lower(coalesce(nullif(name, ''), email))) stored,
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  primary key (workspace_id, user_id),
  unique (id, workspace_id),
  unique (id, user_id),
  foreign key (workspace_id, invited_by) references app.workspace_members (workspace_id, user_id) on delete set null (invited_by),
  constraint workspace_members_role_known check (role in ('owner', 'admin', 'project_creator'))
);

create table app.projects (
  -- Made here: an id that somebody could choose would be another project's, in their own workspace.
  id uuid not null default gen_random_uuid(),
  client_id uuid not null default gen_random_uuid(),
  workspace_id uuid not null references app.workspaces on delete cascade,
  name text not null,
  description text not null default '',
  created_by uuid default auth.uid(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  archived_at timestamptz,
  sort_name text not null generated always as (lower(name)) stored,
  words tsvector generated always as (app.words(workspace_id, name)) stored,
  primary key (id, workspace_id),
  unique (client_id, workspace_id),
  foreign key (workspace_id, created_by) references app.workspace_members (workspace_id, user_id) on delete set null (created_by),
  constraint projects_name_length check (length(name) between 1 and 80),
  constraint projects_description_length check (length(description) <= 2000)
);

-- A guest has a row here and none in workspace_members: a member's role is no predicate there, so a guest who were a member
-- would read everything that members read.
create table app.project_members (
  id uuid not null default gen_random_uuid(),
  project_id uuid not null,
  workspace_id uuid not null,
  user_id uuid not null references app.users on delete cascade,
  role text not null,
  email text not null default '',
  name text not null default '',
  status text not null default 'active',
  created_at timestamptz not null default now(),
  primary key (project_id, user_id, workspace_id),
  unique (id, project_id, workspace_id),
  unique (id, user_id),
  foreign key (project_id, workspace_id) references app.projects (id, workspace_id) on delete cascade,
  constraint project_members_role_known check (role in ('owner', 'manager', 'contributor', 'viewer', 'customer_signer'))
);

create index workspace_members_of_user on app.workspace_members (user_id);
create index workspace_members_invited on app.workspace_members (workspace_id, invited_by) where invited_by is not null;
create index workspace_members_by_name on app.workspace_members (workspace_id, sort_name, id);
create index workspace_members_by_time on app.workspace_members (workspace_id, created_at, id);
create index workspace_members_by_use on app.workspace_members (workspace_id, seen_at, id);
create index projects_listed on app.projects (workspace_id, sort_name, id);
create index projects_of_creator on app.projects (workspace_id, created_by) where created_by is not null;
create index projects_words on app.projects using gin (words);
create index project_members_of_user on app.project_members (user_id, workspace_id);
create index project_members_of_project on app.project_members (project_id, workspace_id);

-- Who belongs, as the policies ask: once a statement, by the claims alone. NULL, which equals nothing, for everybody else.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

create function app.member_org() returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  s uuid := c ->> 'sub';
  o uuid := c ->> 'org_id';
begin
  return (select m.workspace_id from app.workspace_members m where m.workspace_id = o and m.user_id = s);
end $$;

-- The same for its owners and admins.
create function app.managed_org() returns uuid
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  s uuid := c ->> 'sub';
  o uuid := c ->> 'org_id';
begin
  return (select m.workspace_id from app.workspace_members m
           where m.workspace_id = o and m.user_id = s and m.role in ('owner', 'admin'));
end $$;

-- The projects of this workspace that the caller reads: those they are in, and all of them for its owners and admins.
create function app.my_projects() returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  s uuid := c ->> 'sub';
  o uuid := c ->> 'org_id';
begin
  if exists (select from app.workspace_members m
              where m.workspace_id = o and m.user_id = s and m.role in ('owner', 'admin')) then
    return (select array_agg(p.id) from app.projects p where p.workspace_id = o);
  end if;
  return (select array_agg(m.project_id) from app.project_members m where m.user_id = s and m.workspace_id = o);
end $$;

-- Those of them that the caller may change, and whose people.
create function app.managed_projects() returns uuid[]
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  s uuid := c ->> 'sub';
  o uuid := c ->> 'org_id';
begin
  if exists (select from app.workspace_members m
              where m.workspace_id = o and m.user_id = s and m.role in ('owner', 'admin')) then
    return (select array_agg(p.id) from app.projects p where p.workspace_id = o);
  end if;
  return (select array_agg(m.project_id) from app.project_members m
           where m.user_id = s and m.workspace_id = o and m.role in ('owner', 'manager'));
end $$;

alter table app.projects alter column workspace_id set default app.member_org();

alter table app.workspaces enable row level security;
alter table app.workspaces force row level security;
create policy select_member on app.workspaces for select to authenticated using (id = (select app.member_org()));
create policy update_manager on app.workspaces for update to authenticated using (id = (select app.managed_org()));
create policy select_definer on app.workspaces for select to moat_definer using (true);
create policy insert_definer on app.workspaces for insert to moat_definer with check (true);
create policy update_definer on app.workspaces for update to moat_definer using (true);
create policy delete_definer on app.workspaces for delete to moat_definer using (true);
grant select (id, name, description, personal_of, created_at, updated_at), update (name, description) on app.workspaces to authenticated;
grant select, insert (id, name, personal_of), update (deleted_at), delete on app.workspaces to moat_definer;
-- Not granted: insert (its first member does not exist yet: app.make_workspace), delete (app.delete_workspace, which can be
-- taken back).
comment on table app.workspaces is 'workspace; refused: insert, delete';

alter table app.workspace_members enable row level security;
alter table app.workspace_members force row level security;
create policy select_member on app.workspace_members for select to authenticated using (workspace_id = (select app.member_org()));
create policy update_manager on app.workspace_members for update to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_manager on app.workspace_members for delete to authenticated using (workspace_id = (select app.managed_org()));
create policy delete_self on app.workspace_members for delete to authenticated
  using (workspace_id = (select app.member_org()) and user_id = (select auth.uid()));
create policy select_definer on app.workspace_members for select to moat_definer using (true);
create policy insert_definer on app.workspace_members for insert to moat_definer with check (true);
create policy update_definer on app.workspace_members for update to moat_definer using (true);
grant select, update (role), delete on app.workspace_members to authenticated;
grant select, insert (workspace_id, user_id, role, invited_by, email, name, status), update (role, email, name, status, seen_at)
  on app.workspace_members to moat_definer;
-- Not granted: insert. Nobody is put into a workspace, people accept an invitation.
comment on table app.workspace_members is 'workspace; refused: insert';

alter table app.projects enable row level security;
alter table app.projects force row level security;
create policy select_member on app.projects for select to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and id = any((select app.my_projects())::uuid[]));
create policy insert_member on app.projects for insert to authenticated with check (workspace_id = (select app.member_org()));
create policy update_manager on app.projects for update to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and id = any((select app.managed_projects())::uuid[]));
create policy delete_manager on app.projects for delete to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and id = any((select app.managed_projects())::uuid[]));
create policy select_definer on app.projects for select to moat_definer using (true);
create policy insert_definer on app.projects for insert to moat_definer with check (true);
grant select, insert (client_id, name, description), update (name, description, archived_at), delete on app.projects to authenticated;
grant select (id, workspace_id, name, sort_name, words), insert (id, workspace_id, name, created_by) on app.projects to moat_definer;
-- Not granted: insert of id, and insert and update of workspace_id. A project does not move.
comment on table app.projects is 'project';

alter table app.project_members enable row level security;
alter table app.project_members force row level security;
create policy select_member on app.project_members for select to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and project_id = any((select app.my_projects())::uuid[]));
create policy update_manager on app.project_members for update to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and project_id = any((select app.managed_projects())::uuid[]));
create policy delete_manager on app.project_members for delete to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and project_id = any((select app.managed_projects())::uuid[]));
create policy delete_self on app.project_members for delete to authenticated
  using (workspace_id = (select (auth.jwt() ->> 'org_id')::uuid) and project_id = any((select app.my_projects())::uuid[])
    and user_id = (select auth.uid()));
create policy select_definer on app.project_members for select to moat_definer using (true);
create policy insert_definer on app.project_members for insert to moat_definer with check (true);
create policy update_definer on app.project_members for update to moat_definer using (true);
create policy delete_definer on app.project_members for delete to moat_definer using (true);
grant select, update (role), delete on app.project_members to authenticated;
grant select, insert (project_id, workspace_id, user_id, role, email, name, status), update (email, name, status), delete
  on app.project_members to moat_definer;
-- Not granted: insert. A member of the workspace is put in by app.put_in_project, anybody else accepts an invitation.
comment on table app.project_members is 'project; refused: insert';

-- The opening of a lane in a workspace. The place is the id of a membership, of the workspace or of a project: the workspace
-- goes from that row into the claims, and no request ever names it. 'none', as everywhere, where the place is not the caller's.
create function gate.open(p_claims text, p_sub uuid, p_sid uuid, p_iat timestamptz, p_place uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid;
begin
  select m.workspace_id into org from app.workspace_members m where m.id = p_place and m.user_id = p_sub;
  if org is null then
    select m.workspace_id into org from app.project_members m where m.id = p_place and m.user_id = p_sub;
  end if;
  if org is null or exists (select from app.workspaces w where w.id = org and w.deleted_at is not null) then
    return 'none';
  end if;
  perform set_config('request.jwt.claims', (p_claims::jsonb || jsonb_build_object('org_id', org))::text, true);
  return gate.open(p_sub, p_sid, p_iat, null::uuid);
end $$;

-- Everything that the caller belongs to, across workspaces: what they choose from. A guest sees the name of the workspace,
-- which stood in their invitation, and nothing else of it.
create function app.my_memberships()
returns table (place uuid, workspace text, project text, role text, personal boolean, deleted_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  return query
    select m.id, w.name, null::text, m.role, w.personal_of is not null, w.deleted_at
      from app.workspace_members m join app.workspaces w on w.id = m.workspace_id
     where m.user_id = me and (w.deleted_at is null or m.role = 'owner')
    union all
    select g.id, w.name, p.name, g.role, false, null
      from app.project_members g join app.workspaces w on w.id = g.workspace_id
      join app.projects p on p.id = g.project_id and p.workspace_id = g.workspace_id
     where g.user_id = me and w.deleted_at is null
       and not exists (select from app.workspace_members m where m.workspace_id = g.workspace_id and m.user_id = me);
end $$;

-- Gives the place of its first owner.
create function app.make_workspace(p_name text) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  made uuid := gen_random_uuid();
  place uuid;
begin
  -- One after the other for each person, or the count below were a guess.
  perform from app.users u where u.id = me for no key update;
  if (select count(*) from app.workspace_members m where m.user_id = me and m.role = 'owner') > 50 then
    raise exception using errcode = 'P0432', message = 'too many workspaces';
  end if;
  insert into app.workspaces (id, name) values (made, p_name);
  insert into app.workspace_members as m (workspace_id, user_id, role) values (made, me, 'owner') returning m.id into place;
  return place;
end $$;

-- Takes a workspace away from everybody in it, or gives it back; for an owner.
create function app.delete_workspace(p_place uuid, p_gone boolean) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.workspaces w set deleted_at = case when p_gone then coalesce(w.deleted_at, now()) end
   where w.personal_of is null and w.id = (
    select m.workspace_id from app.workspace_members m where m.id = p_place and m.user_id = auth.uid() and m.role = 'owner');
  if not found then raise exception using errcode = 'P0404', message = 'no such workspace'; end if;
end $$;

create function app.sweep_workspaces() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
begin
  perform app.require_reason('sweep');
  delete from app.workspaces w where w.id in (
    select x.id from app.workspaces x where x.deleted_at < now() - interval '30 days' limit 10 for update skip locked);
  get diagnostics n = row_count;
  return n;
end $$;

-- Everybody has a workspace of their own from the start, with a project in it: what belongs to a workspace can be used before
-- there is any other, and nobody has to share one with strangers for that.
create function app.make_personal(p_user uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  made uuid := gen_random_uuid();
begin
  insert into app.workspaces (id, name, personal_of) values (made, 'Personal', p_user);
  insert into app.workspace_members (workspace_id, user_id, role) values (made, p_user, 'owner');
  insert into app.projects (workspace_id, name, created_by) values (made, 'Personal', p_user);
end $$;

create function app.welcome_user() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.make_personal(new.id);
  return null;
end $$;

-- Whoever makes a project is in it, unless they are being removed at this moment: then there is no project.
create function app.own_project() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform from app.workspace_members m where m.workspace_id = new.workspace_id and m.user_id = new.created_by for key share;
  if not found then raise exception using errcode = 'P0404', message = 'no such member'; end if;
  insert into app.project_members (project_id, workspace_id, user_id, role) values (new.id, new.workspace_id, new.created_by, 'owner');
  return null;
end $$;

-- What is shown of a person in a list of members, as it is now. Nobody comes into somebody's personal workspace.
create function app.name_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if exists (select from app.workspaces w where w.id = new.workspace_id and w.personal_of <> new.user_id) then
    raise exception using errcode = 'P0433', message = 'a personal workspace';
  end if;
  select coalesce(u.email, ''), u.display_name, u.status into new.email, new.name, new.status from app.users u where u.id = new.user_id;
  return new;
end $$;

create function app.rename_members() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.workspace_members m set email = coalesce(new.email, ''), name = new.display_name, status = new.status where m.user_id = new.id;
  update app.project_members m set email = coalesce(new.email, ''), name = new.display_name, status = new.status where m.user_id = new.id;
  return null;
end $$;

create function app.see_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.workspace_members m set seen_at = new.last_seen_at where m.user_id = new.user_id;
  return null;
end $$;

-- Whether somebody other than this one can still run the workspace.
create function app.has_other_owner(p_workspace uuid, p_user uuid) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  return exists (select from app.workspace_members m
                  where m.workspace_id = p_workspace and m.user_id <> p_user and m.role = 'owner' and m.status = 'active');
end $$;

-- What no policy can say, since it compares the row with what it becomes. Owners are made and unmade by owners alone, so that
-- nobody raises themselves; and there is always one. The workspace's row is the lock: two owners who demote each other at
-- the same moment come one after the other, and the second finds nobody else.
create function app.guard_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'sub';
  becomes text;
begin
  if tg_op = 'UPDATE' then becomes := new.role; end if;
  if old.role is not distinct from becomes then return new; end if;
  perform from app.workspaces w where w.id = old.workspace_id for no key update;
  -- It goes with its workspace.
  if not found then return coalesce(new, old); end if;
  -- Not where another trigger does it: an owner who is shut out is followed by somebody.
  if pg_trigger_depth() = 1 and c ->> 'role' = 'authenticated' and (old.role = 'owner' or becomes = 'owner')
    and (becomes is not null or old.user_id <> me)
    and not exists (select from app.workspace_members m where m.workspace_id = old.workspace_id and m.user_id = me and m.role = 'owner')
  then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  -- A person who is erased takes the last membership along.
  if old.role = 'owner' and exists (select from app.users u where u.id = old.user_id)
    and not app.has_other_owner(old.workspace_id, old.user_id)
  then
    raise exception using errcode = 'P0430', message = 'the last owner';
  end if;
  return coalesce(new, old);
end $$;

-- Whoever leaves a workspace leaves its projects.
create function app.leave_projects() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  delete from app.project_members m where m.workspace_id = old.workspace_id and m.user_id = old.user_id;
  -- Its last person is erased: nobody can take it back, and a job deletes it.
  update app.workspaces w set deleted_at = now() where w.id = old.workspace_id and w.deleted_at is null
    and not exists (select from app.workspace_members m where m.workspace_id = old.workspace_id);
  return null;
end $$;

create function app.guard_project_member() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'sub';
  becomes text;
begin
  if tg_op = 'UPDATE' then becomes := new.role; end if;
  if c ->> 'role' = 'authenticated' and old.role is distinct from becomes and (old.role = 'owner' or becomes = 'owner')
    and (becomes is not null or old.user_id <> me)
    and not exists (select from app.workspace_members m where m.workspace_id = old.workspace_id and m.user_id = me and m.role in ('owner', 'admin'))
    and not exists (select from app.project_members m
                     where m.project_id = old.project_id and m.workspace_id = old.workspace_id and m.user_id = me and m.role = 'owner')
  then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  return coalesce(new, old);
end $$;

-- Closed, banned or set aside: a workspace with others in it must not be left without an owner who can act. Whoever closes their
-- own account names the next one first; where somebody is shut out, the oldest admin follows, or else the oldest member.
create function app.guard_owner() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  w uuid;
begin
  for w in select x.id from app.workspaces x where x.deleted_at is null and x.id in (
      select m.workspace_id from app.workspace_members m where m.user_id = old.id and m.role = 'owner') order by x.id for no key update loop
    continue when app.has_other_owner(w, old.id);
    if auth.uid() = old.id then
      if exists (select from app.workspace_members m where m.workspace_id = w and m.user_id <> old.id) then
        raise exception using errcode = 'P0430', message = 'the last owner';
      end if;
    else
      update app.workspace_members m set role = 'owner' where m.workspace_id = w and m.user_id = (
        select x.user_id from app.workspace_members x where x.workspace_id = w and x.user_id <> old.id and x.status = 'active'
         order by x.role <> 'admin', x.created_at limit 1);
    end if;
  end loop;
  return new;
end $$;

-- Those of the caller's projects whose names have the words, as typed so far. A definer function, because under row security
-- the operators of full-text search get no index; the workspace is one more word in it, so that no other's names are read.
create function app.search_projects(p_query text, p_limit int) returns setof uuid
language plpgsql stable security definer set search_path = '' rows 30 as $$
declare
  mine uuid[] := app.my_projects();
  q tsquery := app.search_terms(p_query);
begin
  if mine is null or q is null then return; end if;
  q := q && quote_literal('/' || (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'org_id'))::tsquery;
  return query select p.id from app.projects p where p.words @@ q and p.id = any(mine)
    and p.workspace_id = (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'org_id')::uuid order by p.sort_name, p.id limit p_limit;
end $$;

-- Puts a member of the workspace into one of its projects. False: they are in it already.
create function app.put_in_project(p_project uuid, p_member uuid, p_role text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := app.member_org();
  who uuid;
begin
  if p_project is null or not p_project = any(coalesce(app.managed_projects(), '{}')) then
    raise exception using errcode = 'P0404', message = 'no such project';
  end if;
  select m.user_id into who from app.workspace_members m where m.id = p_member and m.workspace_id = org for key share;
  if not found then raise exception using errcode = 'P0404', message = 'no such member'; end if;
  if p_role = 'owner' and not exists (select from app.project_members m where m.project_id = p_project and m.workspace_id = org and m.user_id = auth.uid() and m.role = 'owner')
    and app.managed_org() is null then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  insert into app.project_members (project_id, workspace_id, user_id, role) values (p_project, org, who, p_role)
    on conflict (project_id, user_id, workspace_id) do nothing;
  return found;
end $$;

create function app.touch() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
create trigger touch before update of name, description on app.workspaces for each row execute function app.touch();
create trigger touch before update of name, description, archived_at on app.projects for each row execute function app.touch();

-- Before the functions change hands: making a trigger needs EXECUTE on its function.
create trigger name_member before insert on app.workspace_members for each row execute function app.name_member();
create trigger name_member before insert on app.project_members for each row execute function app.name_member();
create trigger guard_member before update of role or delete on app.workspace_members for each row execute function app.guard_member();
create trigger leave_projects after delete on app.workspace_members for each row execute function app.leave_projects();
create trigger guard_project_member before update of role or delete on app.project_members for each row execute function app.guard_project_member();
create trigger own_project after insert on app.projects for each row execute function app.own_project();
create trigger welcome_user after insert on app.users for each row execute function app.welcome_user();
create trigger rename_members after update of email, display_name, status on app.users for each row execute function app.rename_members();
create trigger guard_owner before update of status on app.users for each row
  when (old.status = 'active' and new.status <> 'active') execute function app.guard_owner();
create trigger see_member after update of last_seen_at on app.sessions for each row execute function app.see_member();

do $$
declare
  f text;
begin
  foreach f in array array['app.member_org()', 'app.managed_org()', 'app.my_projects()', 'app.managed_projects()',
      'gate.open(text, uuid, uuid, timestamptz, uuid)', 'app.my_memberships()', 'app.make_workspace(text)', 'app.delete_workspace(uuid, boolean)',
      'app.sweep_workspaces()', 'app.make_personal(uuid)', 'app.welcome_user()', 'app.own_project()', 'app.name_member()',
      'app.rename_members()', 'app.see_member()', 'app.has_other_owner(uuid, uuid)', 'app.guard_member()', 'app.leave_projects()',
      'app.guard_project_member()', 'app.guard_owner()', 'app.search_projects(text, int)', 'app.put_in_project(uuid, uuid, text)'] loop
    execute format('alter function %s owner to moat_definer', f);
  end loop;
end $$;
grant execute on function app.member_org(), app.managed_org(), app.my_projects(), app.managed_projects(), app.my_memberships(),
  app.make_workspace(text), app.delete_workspace(uuid, boolean), app.search_projects(text, int), app.put_in_project(uuid, uuid, text) to authenticated;
grant execute on function app.sweep_workspaces() to service;

-- Everybody who is here already.
alter table app.users no force row level security;
select app.make_personal(u.id) from app.users u where u.erased_at is null;
alter table app.users force row level security;

revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
