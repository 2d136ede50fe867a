-- Why: a thread is a tree. An edit and another answer are siblings of what they replace, and one leaf of the tree is the
-- branch that is shown, in every window and after every reload. What was said is never changed; it can be emptied.
alter table app.threads
  add column leaf_id uuid,
  add column model text not null default '',
  add column instructions text not null default '',
  add foreign key (leaf_id, id, user_id) references app.messages (id, thread_id, user_id),
  add constraint threads_model_length check (length(model) <= 200),
  add constraint threads_instructions_length check (length(instructions) <= 8000);
create index threads_leaf on app.threads (leaf_id, id, user_id);
grant update (leaf_id, model, instructions) on app.threads to authenticated;
comment on column app.threads.leaf_id is 'the last message of the branch that is shown; NULL: the newest, nobody has chosen';

-- A message can be emptied by its owner, and nothing else done to it: a tombstone keeps its seq and its place in the tree.
create policy update_own on app.messages for update to authenticated
  using (user_id = (select auth.uid()))
  with check (user_id = (select auth.uid()) and deleted_at is not null and content = '{"text": ""}');
grant update (content, deleted_at) on app.messages to authenticated;
comment on table app.messages is 'private; refused: delete';
-- Not granted any more: nothing but delete (a message goes with its thread).

-- Where each branch was left: choosing it again leads back there, not to its newest end.
create table app.branches (
  message_id uuid not null,
  thread_id uuid not null,
  user_id uuid not null default auth.uid(),
  leaf_id uuid not null,
  primary key (message_id, user_id),
  foreign key (message_id, thread_id, user_id) references app.messages (id, thread_id, user_id) on delete cascade,
  foreign key (leaf_id, thread_id, user_id) references app.messages (id, thread_id, user_id) on delete cascade
);
create index branches_of_message on app.branches (message_id, thread_id, user_id);
create index branches_of_leaf on app.branches (leaf_id, thread_id, user_id);
alter table app.branches enable row level security;
alter table app.branches force row level security;
create policy select_own on app.branches for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.branches for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on app.branches for update to authenticated using (user_id = (select auth.uid()));
grant select, insert (message_id, thread_id, user_id, leaf_id), update (leaf_id) on app.branches to authenticated;
-- Not granted: delete (goes with its message).
comment on table app.branches is 'private; refused: delete';

create table app.thumbs (
  message_id uuid not null,
  thread_id uuid not null,
  user_id uuid not null default auth.uid(),
  up boolean not null,
  primary key (message_id, user_id),
  foreign key (message_id, thread_id, user_id) references app.messages (id, thread_id, user_id) on delete cascade
);
create index thumbs_of_message on app.thumbs (message_id, thread_id, user_id);
alter table app.thumbs enable row level security;
alter table app.thumbs force row level security;
create policy select_own on app.thumbs for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.thumbs for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on app.thumbs for update to authenticated using (user_id = (select auth.uid()));
create policy delete_own on app.thumbs for delete to authenticated using (user_id = (select auth.uid()));
grant select, insert (message_id, thread_id, user_id, up), update (up), delete on app.thumbs to authenticated;
comment on table app.thumbs is 'private';

-- Before the shown branch leaves the children of a message: the child that it went through remembers where it ended. The
-- way up is as long as what was said since that message.
create function app.leave_branch(p_thread uuid, p_parent uuid, p_leaf uuid) returns void
language sql volatile security invoker set search_path = '' as $$
  with recursive up as (
    select m.id, m.parent_id, m.user_id from app.messages m where m.id = p_leaf and m.thread_id = p_thread
    union all
    select m.id, m.parent_id, m.user_id from up join app.messages m on m.id = up.parent_id and m.thread_id = p_thread
     where up.parent_id is distinct from p_parent
  )
  insert into app.branches (message_id, thread_id, user_id, leaf_id)
    select up.id, p_thread, up.user_id, p_leaf from up where up.parent_id is not distinct from p_parent
    on conflict (message_id, user_id) do update set leaf_id = excluded.leaf_id;
$$;

-- The thread's row, locked: everything that changes the tree goes one after the other. `leaf` is never NULL in a thread
-- that has a message. P0404: no such thread, or not the caller's.
create function app.lock_thread(p_thread uuid, out owner uuid, out last_seq bigint, out leaf uuid)
language plpgsql volatile security invoker set search_path = '' as $$
begin
  select t.user_id, t.last_seq, t.leaf_id into owner, last_seq, leaf from app.threads t where t.id = p_thread for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such thread'; end if;
  if leaf is null then
    select m.id into leaf from app.messages m where m.thread_id = p_thread order by m.seq desc limit 1;
  end if;
end $$;

create function app.nobody_writes(p_thread uuid) returns void
language plpgsql stable security invoker set search_path = '' as $$
begin
  if exists (select from app.generations g where g.thread_id = p_thread and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
end $$;

-- As before, at the end of the branch that is shown. With `p_beside`, beside that message: an edit.
drop function app.post_message(uuid, uuid, text, text);
create function app.post_message(p_thread uuid, p_client uuid, p_text text, p_model text, p_beside uuid default null,
    out message_id uuid, out answer_id uuid, out generation_id uuid, out created boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
  m app.messages;
  parent uuid;
begin
  select * into t from app.lock_thread(p_thread);
  select * into m from app.messages x where x.client_id = p_client and x.thread_id = p_thread;
  if found then
    if m.content ->> 'text' is distinct from p_text then
      raise exception using errcode = 'P0409', message = 'this id was used for another text';
    end if;
    message_id := m.id;
    created := false;
    select a.id into answer_id from app.messages a where a.parent_id = m.id and a.thread_id = p_thread order by a.seq limit 1;
    select g.id into generation_id from app.generations g where g.message_id = answer_id;
    return;
  end if;
  perform app.nobody_writes(p_thread);
  if p_beside is null then
    parent := t.leaf;
  else
    select x.* into m from app.messages x
      where x.id = p_beside and x.thread_id = p_thread and x.role = 'user' and x.deleted_at is null;
    if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
    parent := m.parent_id;
    perform app.leave_branch(p_thread, parent, t.leaf);
  end if;
  insert into app.messages (thread_id, user_id, seq, parent_id, client_id, role, content)
    values (p_thread, t.owner, t.last_seq + 1, parent, p_client, 'user', jsonb_build_object('text', p_text))
    returning id into message_id;
  insert into app.messages (thread_id, user_id, seq, parent_id, role, content)
    values (p_thread, t.owner, t.last_seq + 2, message_id, 'assistant', '{"text": ""}')
    returning id into answer_id;
  insert into app.generations (user_id, thread_id, message_id, model)
    values (t.owner, p_thread, answer_id, coalesce(nullif((select x.model from app.threads x where x.id = p_thread), ''), p_model))
    returning id into generation_id;
  update app.threads x set last_seq = t.last_seq + 2, leaf_id = answer_id, active_at = clock_timestamp() where x.id = p_thread;
  created := true;
end $$;

-- Another answer to the same message, beside any that it has.
drop function app.answer_again(uuid, text);
create function app.answer_again(p_answer uuid, p_model text, p_client uuid default null,
    out thread_id uuid, out answer_id uuid, out generation_id uuid, out created boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
  m app.messages;
begin
  select * into m from app.messages x where x.id = p_answer and x.role = 'assistant';
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  thread_id := m.thread_id;
  select * into t from app.lock_thread(m.thread_id);
  select a.id, g.id into answer_id, generation_id from app.messages a left join app.generations g on g.message_id = a.id
    where a.client_id = p_client and a.thread_id = m.thread_id and a.role = 'assistant';
  created := not found;
  if not created then return; end if;
  perform app.nobody_writes(m.thread_id);
  perform app.leave_branch(m.thread_id, m.parent_id, t.leaf);
  insert into app.messages (thread_id, user_id, seq, parent_id, client_id, role, content)
    values (m.thread_id, t.owner, t.last_seq + 1, m.parent_id, p_client, 'assistant', '{"text": ""}')
    returning id into answer_id;
  insert into app.generations (user_id, thread_id, message_id, model)
    values (t.owner, m.thread_id, answer_id,
            coalesce(nullif((select x.model from app.threads x where x.id = m.thread_id), ''), p_model))
    returning id into generation_id;
  update app.threads x set last_seq = t.last_seq + 1, leaf_id = answer_id, active_at = clock_timestamp() where x.id = m.thread_id;
end $$;

-- Shows the branch through a message: to where it was left, or to its newest end.
create function app.choose_branch(p_message uuid) returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t record;
  m app.messages;
  chosen uuid;
begin
  select * into m from app.messages x where x.id = p_message;
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  select * into t from app.lock_thread(m.thread_id);
  perform app.leave_branch(m.thread_id, m.parent_id, t.leaf);
  select b.leaf_id into chosen from app.branches b where b.message_id = m.id;
  if not found then
    with recursive down as (
      select m.id, 0 as depth
      union all
      select c.id, down.depth + 1 from down cross join lateral (
        select x.id from app.messages x where x.parent_id = down.id and x.thread_id = m.thread_id order by x.seq desc limit 1) c
    ) select d.id into chosen from down d order by d.depth desc limit 1;
  end if;
  update app.threads x set leaf_id = chosen where x.id = m.thread_id;
  return m.thread_id;
end $$;

-- Empties a message. Its answers stay where they are.
create function app.delete_message(p_message uuid) returns uuid
language plpgsql volatile security invoker set search_path = '' as $$
declare
  m app.messages;
begin
  select * into m from app.messages x where x.id = p_message;
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  perform app.lock_thread(m.thread_id);
  if exists (select from app.generations g where g.message_id = m.id and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
  update app.messages x set content = '{"text": ""}', deleted_at = clock_timestamp() where x.id = m.id and x.deleted_at is null;
  return m.thread_id;
end $$;
grant execute on function app.leave_branch(uuid, uuid, uuid), app.lock_thread(uuid), app.nobody_writes(uuid),
  app.post_message(uuid, uuid, text, text, uuid), app.answer_again(uuid, text, uuid), app.choose_branch(uuid),
  app.delete_message(uuid) to authenticated;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- A copy of a branch as a thread of its own. A definer function, since nobody may write words into the assistant's mouth,
-- not even in their own thread: what is copied has been said there.
create function app.fork_thread(p_message uuid, p_client uuid) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  m record;
  fork uuid;
  copied bigint;
begin
  select x.id, x.thread_id into m from app.messages x where x.id = p_message and x.user_id = me;
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  if exists (select from app.generations g where g.message_id = m.id and g.user_id = me and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
  insert into app.threads (user_id, client_id, title, title_by, model, instructions)
    select me, p_client, t.title, t.title_by, t.model, t.instructions from app.threads t where t.id = m.thread_id and t.user_id = me
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

-- What changes a thread without posting in it: its windows read it anew.
create function app.tell_thread_of() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  r record := coalesce(new, old);
begin
  perform app.tell(r.user_id, 'thread.changed', jsonb_build_object('thread', r.thread_id));
  return null;
end $$;
create trigger tell_deleted after update of deleted_at on app.messages for each row execute function app.tell_thread_of();
create trigger tell_thumb after insert or update or delete on app.thumbs for each row execute function app.tell_thread_of();

create policy select_fork on app.threads for select to moat_definer using (true);
create policy insert_fork on app.threads for insert to moat_definer with check (true);
create policy update_fork on app.threads for update to moat_definer using (true);
create policy select_fork on app.messages for select to moat_definer using (true);
create policy insert_fork on app.messages for insert to moat_definer with check (true);
grant select (id, user_id, client_id, title, title_by, last_seq, active_at, model, instructions),
  insert (user_id, client_id, title, title_by, model, instructions), update (last_seq, active_at) on app.threads to moat_definer;
grant select (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at),
  insert (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at) on app.messages to moat_definer;

alter function app.fork_thread(uuid, uuid) owner to moat_definer;
alter function app.tell_thread_of() owner to moat_definer;
grant execute on function app.fork_thread(uuid, uuid) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
