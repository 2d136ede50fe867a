-- Why: an answer that was stopped, or broke off, has its end in its generation. A copy of it, by a fork or a file, has none: what it
-- was goes along in its content, so that half an answer is never shown as a whole one. And what was deleted stays deleted.
grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

create or replace function app.fork_thread(p_message uuid, p_client uuid) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  m record;
  fork uuid;
  copied bigint;
begin
  select x.id, x.thread_id into m from app.messages x join app.threads t on t.id = x.thread_id and t.user_id = me
    where x.id = p_message and x.user_id = me and t.deleted_at is null;
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  if exists (select from app.generations g where g.message_id = m.id and g.user_id = me and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
  update app.threads t set client_id = gen_random_uuid() where t.client_id = p_client and t.user_id = me and t.deleted_at is not null;
  insert into app.threads (user_id, client_id, title, title_by, model, instructions, temporary, folder_id)
    select me, p_client, t.title, t.title_by, t.model, t.instructions, t.temporary, t.folder_id
      from app.threads t where t.id = m.thread_id and t.user_id = me
    on conflict do nothing returning id into fork;
  if fork is null then
    select t.id into fork from app.threads t where t.client_id = p_client and t.user_id = me;
    return fork;
  end if;
  with recursive up as (
    select x.id, x.parent_id, x.seq, x.client_id, x.role, x.content, x.created_at, x.deleted_at
      from app.messages x where x.id = m.id and x.user_id = me
    union all
    select x.id, x.parent_id, x.seq, x.client_id, x.role, x.content, x.created_at, x.deleted_at
      from up join app.messages x on x.id = up.parent_id and x.user_id = me
  ), copies as materialized (
    select gen_random_uuid() as copy, row_number() over (order by up.seq) as n, up.client_id, up.role, up.created_at, up.deleted_at,
           case when g.status <> 'done' and up.deleted_at is null then up.content || jsonb_build_object('ended', g.status) else up.content end as content
      from up left join app.generations g on g.message_id = up.id and g.user_id = me
  )
  insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at)
    select c.copy, fork, me, c.n, lag(c.copy) over (order by c.n), c.client_id, c.role, c.content, c.created_at, c.deleted_at
      from copies c order by c.n;
  get diagnostics copied = row_count;
  update app.threads t set last_seq = copied, active_at = clock_timestamp() where t.id = fork and t.user_id = me;
  return fork;
end $$;

create or replace function app.import_thread(p_import uuid, p_client uuid, p_source uuid, p_title text, p_created timestamptz,
    p_active timestamptz, p_messages jsonb) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  thread uuid := gen_random_uuid();
  ids uuid[];
begin
  update app.imports i set updated_at = clock_timestamp() where i.id = p_import and i.user_id = me and i.status = 'running';
  if not found then raise exception using errcode = 'P0404', message = 'no such import'; end if;
  perform set_config('moat.quiet', 'on', true);
  -- Each waits for a sweep that has begun; what that took is not there in the statement that follows.
  update app.threads t set deleted_at = null where t.id = p_source and t.user_id = me and t.deleted_at is not null;
  if exists (select from app.threads t where t.id = p_source and t.user_id = me) then
    thread := null;
  else
    update app.threads t set deleted_at = null where t.client_id = p_client and t.user_id = me and t.deleted_at is not null;
    insert into app.threads (id, user_id, client_id, title, title_by, last_seq, created_at, active_at)
      values (thread, me, p_client, p_title, 'user', jsonb_array_length(p_messages), p_created, p_active)
      on conflict (client_id, user_id) do nothing;
    if not found then thread := null; end if;
  end if;
  if thread is null then
    perform set_config('moat.quiet', '', true);
    update app.imports i set known = i.known + 1 where i.id = p_import and i.user_id = me;
    return false;
  end if;
  select array_agg(gen_random_uuid()) into ids from jsonb_array_elements(p_messages);
  insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at)
    select ids[n], thread, me, n, ids[(m ->> 'parent')::int + 1], (m ->> 'client')::uuid, m ->> 'role',
           jsonb_build_object('text', m ->> 'text') || case when m ->> 'ended' is null then '{}' else jsonb_build_object('ended', m ->> 'ended') end,
           to_timestamp((m ->> 'at')::double precision), case when (m ->> 'deleted')::boolean then now() end
      from jsonb_array_elements(p_messages) with ordinality x(m, n);
  perform set_config('moat.quiet', '', true);
  update app.imports i set threads = i.threads + 1, messages = i.messages + jsonb_array_length(p_messages)
    where i.id = p_import and i.user_id = me;
  return true;
end $$;

revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
