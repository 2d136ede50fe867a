-- Why: "who can see this?". The answer is what the live policies say to each person when they are asked as that person, and nothing
-- that is worked out beside them: a policy that is wrong shows itself in it.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- The opening of a lane in which somebody is looked through for another who asks: as p_person in p_place, for reading alone. Both have
-- to be in that workspace, and whoever asks signed in; the server takes one yes or no out of it and hands it to nobody. Where
-- whoever asks is not there any more, nothing is answered: a no would be believed.
create function gate.look(p_sub uuid, p_sid uuid, p_iat timestamptz, p_claims text, p_person uuid, p_place uuid) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid;
begin
  if gate.open(p_sub, p_sid, p_iat, null::uuid) <> 'authenticated' then
    raise exception using errcode = 'P0401', message = 'signed out';
  end if;
  select m.workspace_id into org from app.workspace_members m where m.id = p_place and m.user_id = p_person;
  if org is null then
    select m.workspace_id into org from app.project_members m where m.id = p_place and m.user_id = p_person;
  end if;
  if org is null then return 'none'; end if;
  if not exists (select from app.workspace_members m where m.workspace_id = org and m.user_id = p_sub)
    and not exists (select from app.project_members m where m.workspace_id = org and m.user_id = p_sub) then
    raise exception using errcode = 'P0404', message = 'not in that workspace';
  end if;
  -- It can't be taken back before the transaction ends.
  perform set_config('transaction_read_only', 'on', true);
  return gate.open(p_claims, p_person, null, now(), p_place);
end $$;

-- Whom to ask: in a workspace everybody in it and all guests of its projects, and elsewhere everybody whom the caller shares a
-- workspace or a project with, once for each place they have in common. First those for whom there is a reason, by name, then the
-- others in an order that says nothing of them, since the caller may not know all of them: `key` and `tie` are where a page
-- begins, and are handed out. many: how many people there are whom the caller may know of; on the first page alone.
create function app.people_around(p_project uuid, p_key text, p_tie uuid, p_limit int)
returns table (person uuid, place uuid, name text, email text, status text, role text, since timestamptz,
  project_role text, project_since timestamptz, key text, tie uuid, many bigint)
language plpgsql stable security definer set search_path = '' as $$
declare
  c jsonb := nullif(current_setting('request.jwt.claims', true), '');
  me uuid := c ->> 'sub';
  o uuid := c ->> 'org_id';
  ours uuid[] := app.my_projects();
begin
  return query
    with mine as (
      select w.id, w.personal_of from app.workspace_members m join app.workspaces w on w.id = m.workspace_id
       where m.user_id = me and w.deleted_at is null and (o is null or w.id = o)
    ), guests as (
      select distinct on (g.workspace_id, g.user_id)
             g.user_id, g.id, g.name, g.email, g.status, null::text as role, null::timestamptz as since,
             lower(coalesce(nullif(g.name, ''), g.email)) as sort_name, g.project_id = any(coalesce(ours, '{}')) as known
        from mine n join app.project_members g on g.workspace_id = n.id
       where not exists (select from app.workspace_members m where m.workspace_id = g.workspace_id and m.user_id = g.user_id)
       order by g.workspace_id, g.user_id, known desc, g.id
    ), people as (
      select m.user_id, m.id, m.name, m.email, m.status, m.role, m.created_at as since, m.sort_name, true as known
        from mine n join app.workspace_members m on m.workspace_id = n.id
       where o is not null or m.user_id <> me or n.personal_of = me
      union all select g.* from guests g
      union all
      select g.user_id, g.id, g.name, g.email, g.status, null, null, lower(coalesce(nullif(g.name, ''), g.email)), true
        from app.project_members i join app.workspaces w on w.id = i.workspace_id
        join app.project_members g on g.project_id = i.project_id and g.workspace_id = i.workspace_id
       where o is null and i.user_id = me and g.user_id <> me and w.deleted_at is null
         and not exists (select from mine n where n.id = i.workspace_id)
    ), sorted as (
      select p.*, x.role as project_role, x.created_at as project_since,
             p.user_id = me or x.role is not null or (o is not null and coalesce(p.role in ('owner', 'admin'), false)) as first
        from people p left join app.project_members x on x.project_id = p_project and x.workspace_id = o and x.user_id = p.user_id
    ), keyed as (
      select s.*, case when s.first then '0' || s.sort_name else '1' || md5(s.id::text || coalesce(p_project, me)::text) end as key,
             case when s.first then s.id else '00000000-0000-0000-0000-000000000000' end as tie
        from sorted s
    )
    select k.user_id, k.id, k.name, k.email, k.status, k.role, k.since, k.project_role, k.project_since, k.key, k.tie,
           case when p_key is null then (select count(distinct p.user_id) from people p where p.known) end
      from keyed k where p_key is null or (k.key, k.tie) > (p_key, p_tie) order by k.key, k.tie limit p_limit;
end $$;

alter function gate.look(uuid, uuid, timestamptz, text, uuid, uuid) owner to moat_definer;
alter function app.people_around(uuid, text, uuid, int) owner to moat_definer;
grant execute on function app.people_around(uuid, text, uuid, int) to authenticated;

revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
