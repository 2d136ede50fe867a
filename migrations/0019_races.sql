-- Why: races at the edges of what is kept. A chat that is taken back or written in while it is swept stays, and each chat goes in
-- a transaction of its own; an id that a deleted chat holds does not stand in the way of a new one, and an import takes such a
-- chat back; a way into an account that is being made is not made once somebody else has shown that the account is theirs.
comment on column app.imports.why is 'what went wrong, or was left out';
-- So that a deleted chat lets go of its id. The owner's own function does that, in their rights.
grant update (client_id) on app.threads to authenticated;
grant update (client_id, deleted_at) on app.threads to moat_definer;

-- A new thread and its first message, once, however often the same client id arrives. The id goes with the thread: one that is
-- deleted, and could still be taken back, does not keep it.
create or replace function app.start_thread(p_client uuid, p_title text, p_text text, p_model text,
    out thread_id uuid, out message_id uuid, out answer_id uuid, out generation_id uuid, out created boolean)
language plpgsql volatile security invoker set search_path = '' as $$
begin
  update app.threads x set client_id = gen_random_uuid() where x.client_id = p_client and x.deleted_at is not null;
  insert into app.threads (client_id, title) values (p_client, p_title) on conflict do nothing;
  -- A statement of its own: the insert may have waited for a twin that has committed since.
  select x.id into thread_id from app.threads x where x.client_id = p_client;
  select p.message_id, p.answer_id, p.generation_id, p.created into message_id, answer_id, generation_id, created
    from app.post_message(thread_id, p_client, p_text, p_model) p;
end $$;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- The next thread that was deleted a minute ago, or that is temporary and whose last message is a day old; gives how many went.
-- One, since it takes all of its messages along and a statement has its time. One that somebody is changing at this moment is
-- passed over: afterwards its time may not be over any more.
create or replace function app.sweep_threads() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  over record;
  n int;
begin
  perform app.require_reason('sweep');
  select t.id, t.user_id into over from app.threads t where t.deleted_at < now() - interval '1 minute'
    limit 1 for update skip locked;
  if not found then
    select t.id, t.user_id into over from app.threads t where t.temporary and t.active_at < now() - interval '24 hours'
      limit 1 for update skip locked;
  end if;
  if not found then return 0; end if;
  delete from app.threads t where t.id = over.id and t.user_id = over.user_id;
  get diagnostics n = row_count;
  return n;
end $$;

-- As before, and what was there and deleted a moment ago is taken back: otherwise it would be swept, and the import would have
-- said that it is there.
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
  insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at)
    select ids[n], thread, me, n, ids[(m ->> 'parent')::int + 1], (m ->> 'client')::uuid, m ->> 'role',
           jsonb_build_object('text', m ->> 'text'), to_timestamp((m ->> 'at')::double precision)
      from jsonb_array_elements(p_messages) with ordinality x(m, n);
  perform set_config('moat.quiet', '', true);
  update app.imports i set threads = i.threads + 1, messages = i.messages + jsonb_array_length(p_messages)
    where i.id = p_import and i.user_id = me;
  return true;
end $$;

-- While it waits for its turn; one that nothing is heard of for a minute counts as interrupted.
create function app.keep_import(p_import uuid) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.imports i set updated_at = clock_timestamp()
    where i.id = p_import and i.user_id = auth.uid() and i.status = 'running';
end $$;

-- As before; a copy that was deleted does not keep its id either.
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
    select gen_random_uuid() as copy, row_number() over (order by up.seq) as n, up.client_id, up.role, up.content, up.created_at, up.deleted_at
      from up
  )
  insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at)
    select c.copy, fork, me, c.n, lag(c.copy) over (order by c.n), c.client_id, c.role, c.content, c.created_at, c.deleted_at
      from copies c order by c.n;
  get diagnostics copied = row_count;
  update app.threads t set last_seq = copied, active_at = clock_timestamp() where t.id = fork and t.user_id = me;
  return fork;
end $$;

-- Whether the caller's session still stands, and their account with it; both stay so until the transaction ends. A lane that was
-- opened before can have waited for the account's row until somebody else had shown that it is theirs (app.leave_mailbox_alone).
create function app.hold_myself() returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform from app.users u where u.id = auth.uid() and u.status = 'active' for no key update;
  if not found then return false; end if;
  -- A caller of an outside issuer has no session.
  return auth.jwt() ->> 'sid' is null or exists (
    select from app.sessions s where s.id = (auth.jwt() ->> 'sid')::uuid and s.user_id = auth.uid() and s.revoked_at is null);
end $$;

-- outcome: ok, wrong (or over), taken.
create or replace function app.link_phone(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  number text;
begin
  if not app.hold_myself() then return 'wrong'; end if;
  number := app.try_code(p_id, auth.uid(), p_hash);
  if number is null then return 'wrong'; end if;
  update app.users u set phone = number where u.id = auth.uid();
  return 'ok';
exception when unique_violation then
  return 'taken';
end $$;

-- p_old is the hash that the typed password was compared with (NULL: there is none): only somebody who went through that can
-- name it, and a change in between is noticed. False: it is another one by now. The caller's other sessions end.
create or replace function app.change_password(p_old text, p_new text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  was text;
begin
  if not app.hold_myself() then return false; end if;
  select c.password_phc into was from app.credentials c where c.user_id = me for no key update;
  if was is distinct from p_old then return false; end if;
  insert into app.credentials as c (user_id, password_phc) values (me, p_new)
    on conflict (user_id) do update set password_phc = excluded.password_phc, changed_at = now();
  update app.sessions s set revoked_at = now()
    where s.user_id = me and s.revoked_at is null and s.id is distinct from (auth.jwt() ->> 'sid')::uuid;
  perform app.spend_tokens_of(me);
  insert into app.outgoing (kind, address, user_id)
    select 'password', u.email, u.id from app.users u where u.id = me and u.email is not null;
  return true;
end $$;

alter function app.keep_import(uuid) owner to moat_definer;
alter function app.hold_myself() owner to moat_definer;
grant execute on function app.keep_import(uuid) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
