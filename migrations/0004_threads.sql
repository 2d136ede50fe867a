-- Why: private chats. A thread, its messages and the generations that write its answers belong to one user; no policy
-- here has a membership branch, and none ever gets one. Every key carries the owner, so that neither a constraint nor
-- the time of a look-up tells whether somebody else's id exists.
create table app.threads (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references app.users on delete cascade,
  client_id uuid not null,
  title text not null default '',
  title_by text not null default 'auto',
  last_seq bigint not null default 0,
  created_at timestamptz not null default now(),
  active_at timestamptz not null default now(),
  primary key (id, user_id),
  unique (client_id, user_id),
  constraint threads_title_length check (length(title) <= 200),
  constraint threads_title_by_known check (title_by in ('auto', 'user'))
);
create index threads_newest on app.threads (user_id, active_at desc, id desc);
alter table app.threads enable row level security;
alter table app.threads force row level security;
create policy select_own on app.threads for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.threads for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on app.threads for update to authenticated using (user_id = (select auth.uid()));
create policy delete_own on app.threads for delete to authenticated using (user_id = (select auth.uid()));
grant select, insert (id, user_id, client_id, title), update (title, title_by, last_seq, active_at), delete on app.threads to authenticated;
-- Not granted: update of user_id. A thread does not change hands.
comment on table app.threads is 'private';

create table app.messages (
  id uuid not null default gen_random_uuid(),
  thread_id uuid not null,
  user_id uuid not null default auth.uid(),
  seq bigint not null,
  parent_id uuid,
  client_id uuid,
  role text not null,
  content jsonb not null,
  created_at timestamptz not null default now(),
  deleted_at timestamptz,
  primary key (id, user_id),
  unique (id, thread_id, user_id),
  unique (thread_id, user_id, seq),
  unique (client_id, thread_id, user_id),
  foreign key (thread_id, user_id) references app.threads (id, user_id) on delete cascade,
  foreign key (parent_id, thread_id, user_id) references app.messages (id, thread_id, user_id),
  constraint messages_role_known check (role in ('user', 'assistant')),
  constraint messages_content_form check (jsonb_typeof(content) = 'object' and jsonb_typeof(content -> 'text') = 'string'),
  constraint messages_sent_have_client_id check (role <> 'user' or client_id is not null)
);
create index messages_of_parent on app.messages (parent_id, thread_id, user_id);
alter table app.messages enable row level security;
alter table app.messages force row level security;
create policy select_own on app.messages for select to authenticated using (user_id = (select auth.uid()));
-- Somebody may say anything in their own name and nothing in the assistant's: its messages begin empty.
create policy insert_own on app.messages for insert to authenticated
  with check (user_id = (select auth.uid()) and (role = 'user' or content = '{"text": ""}'));
create policy select_generation on app.messages for select to service using (user_id = (select app.job_user('generation')));
create policy update_generation on app.messages for update to service
  using (user_id = (select app.job_user('generation')) and role = 'assistant');
grant select, insert (id, thread_id, user_id, seq, parent_id, client_id, role, content) on app.messages to authenticated;
grant select, update (content) on app.messages to service;
-- Not granted: update (an edit is a new sibling), delete (a message goes with its thread).
comment on table app.messages is 'private; refused: update, delete';
comment on column app.messages.parent_id is 'NULL is the virtual root of the thread''s tree, so that even the first message can have siblings';

create table app.generations (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  thread_id uuid not null,
  message_id uuid not null,
  model text not null default '',
  status text not null default 'running',
  why text not null default '',
  stop_asked_at timestamptz,
  lease_until timestamptz not null default clock_timestamp() + interval '10 seconds',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (id, user_id),
  unique (message_id, user_id),
  foreign key (message_id, thread_id, user_id) references app.messages (id, thread_id, user_id) on delete cascade,
  constraint generations_status_known check (status in ('running', 'done', 'stopped', 'interrupted', 'failed'))
);
-- One voice at a time in a thread.
create unique index generations_one_running on app.generations (thread_id, user_id) where status = 'running';
create index generations_of_message on app.generations (message_id, thread_id, user_id);
create index generations_lapsed on app.generations (lease_until) where status = 'running';
alter table app.generations enable row level security;
alter table app.generations force row level security;
create policy select_own on app.generations for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.generations for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on app.generations for update to authenticated using (user_id = (select auth.uid()));
create policy select_generation on app.generations for select to service using (user_id = (select app.job_user('generation')));
create policy update_generation on app.generations for update to service using (user_id = (select app.job_user('generation')));
create policy select_definer on app.generations for select to moat_definer using (true);
grant select, insert (id, user_id, thread_id, message_id, model), update (stop_asked_at) on app.generations to authenticated;
grant select, update (status, why, lease_until, finished_at) on app.generations to service;
grant select on app.generations to moat_definer;
-- Not granted: update of status to the user (they ask to stop, the writer stops), delete (goes with its message).
comment on table app.generations is 'private; refused: delete';

create table app.generation_chunks (
  generation_id uuid not null,
  user_id uuid not null,
  n int not null,
  text text not null,
  primary key (generation_id, user_id, n),
  foreign key (generation_id, user_id) references app.generations (id, user_id) on delete cascade
);
alter table app.generation_chunks enable row level security;
alter table app.generation_chunks force row level security;
create policy select_own on app.generation_chunks for select to authenticated using (user_id = (select auth.uid()));
create policy select_generation on app.generation_chunks for select to service using (user_id = (select app.job_user('generation')));
create policy insert_generation on app.generation_chunks for insert to service with check (user_id = (select app.job_user('generation')));
create policy delete_generation on app.generation_chunks for delete to service using (user_id = (select app.job_user('generation')));
grant select on app.generation_chunks to authenticated;
grant select, insert, delete on app.generation_chunks to service;
-- Not granted: update to anybody (what was shown stays as it was shown), writing to the user.
comment on table app.generation_chunks is 'private; refused: insert, update, delete';
comment on column app.generation_chunks.n is 'from 0, without gaps; the answer so far is their texts in this order';

-- Posting, in the caller's own rights. The thread's row is the lock: under it the client's id is looked up, so that a
-- retry finds what the first try stored, and seq is bumped, so that it has no gaps. FOR NO KEY UPDATE, because FOR UPDATE
-- would block the foreign key checks of everything that is written below the thread.
create function app.post_message(p_thread uuid, p_client uuid, p_text text, p_model text,
    out message_id uuid, out answer_id uuid, out generation_id uuid, out created boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t app.threads;
  m app.messages;
  leaf uuid;
begin
  select * into t from app.threads x where x.id = p_thread for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such thread'; end if;
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
  if exists (select from app.generations g where g.thread_id = p_thread and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
  select x.id into leaf from app.messages x where x.thread_id = p_thread order by x.seq desc limit 1;
  insert into app.messages (thread_id, user_id, seq, parent_id, client_id, role, content)
    values (t.id, t.user_id, t.last_seq + 1, leaf, p_client, 'user', jsonb_build_object('text', p_text))
    returning id into message_id;
  insert into app.messages (thread_id, user_id, seq, parent_id, role, content)
    values (t.id, t.user_id, t.last_seq + 2, message_id, 'assistant', '{"text": ""}')
    returning id into answer_id;
  insert into app.generations (user_id, thread_id, message_id, model)
    values (t.user_id, t.id, answer_id, p_model) returning id into generation_id;
  update app.threads x set last_seq = t.last_seq + 2, active_at = clock_timestamp() where x.id = t.id;
  created := true;
end $$;

-- Another answer to the same message, beside the one that failed.
create function app.answer_again(p_answer uuid, p_model text, out thread_id uuid, out answer_id uuid, out generation_id uuid)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  t app.threads;
  m app.messages;
begin
  select * into m from app.messages x where x.id = p_answer and x.role = 'assistant';
  if not found then raise exception using errcode = 'P0404', message = 'no such message'; end if;
  select * into t from app.threads x where x.id = m.thread_id for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such thread'; end if;
  if exists (select from app.generations g where g.thread_id = t.id and g.status = 'running') then
    raise exception using errcode = 'P0423', message = 'an answer is being written';
  end if;
  -- Beside an older answer the new one would be the newest leaf, and what was said since would be on a hidden branch.
  if m.seq <> t.last_seq then
    raise exception using errcode = 'P0410', message = 'not the newest answer';
  end if;
  insert into app.messages (thread_id, user_id, seq, parent_id, role, content)
    values (t.id, t.user_id, t.last_seq + 1, m.parent_id, 'assistant', '{"text": ""}')
    returning id into answer_id;
  insert into app.generations (user_id, thread_id, message_id, model)
    values (t.user_id, t.id, answer_id, p_model) returning id into generation_id;
  update app.threads x set last_seq = t.last_seq + 1, active_at = clock_timestamp() where x.id = t.id;
  thread_id := t.id;
end $$;

-- A new thread and its first message, once, however often the same client id arrives.
create function app.start_thread(p_client uuid, p_title text, p_text text, p_model text,
    out thread_id uuid, out message_id uuid, out answer_id uuid, out generation_id uuid, out created boolean)
language plpgsql volatile security invoker set search_path = '' as $$
begin
  insert into app.threads (client_id, title) values (p_client, p_title) on conflict do nothing;
  -- A statement of its own: the insert may have waited for a twin that has committed since.
  select x.id into thread_id from app.threads x where x.client_id = p_client;
  select p.message_id, p.answer_id, p.generation_id, p.created into message_id, answer_id, generation_id, created
    from app.post_message(thread_id, p_client, p_text, p_model) p;
end $$;
grant execute on function app.post_message(uuid, uuid, text, text), app.answer_again(uuid, text),
  app.start_thread(uuid, text, text, text) to authenticated;

-- One batch of an answer. False: the writer must stop, since somebody asked for that or the generation is over.
create function app.append_chunk(p_generation uuid, p_n int, p_text text) returns boolean
language plpgsql volatile security invoker set search_path = '' as $$
declare
  owner uuid;
begin
  update app.generations g set lease_until = clock_timestamp() + interval '10 seconds'
    where g.id = p_generation and g.status = 'running' and g.stop_asked_at is null returning g.user_id into owner;
  if not found then return false; end if;
  if p_text <> '' then
    insert into app.generation_chunks (generation_id, user_id, n, text) values (p_generation, owner, p_n, p_text);
  end if;
  return true;
end $$;

-- The end of an answer, once: the text moves from the chunks into the message, whatever the outcome.
create function app.finish_generation(p_generation uuid, p_status text, p_why text) returns void
language plpgsql volatile security invoker set search_path = '' as $$
declare
  g app.generations;
begin
  select * into g from app.generations x where x.id = p_generation and x.status = 'running' for no key update;
  if not found then return; end if;
  update app.messages m set content = jsonb_build_object('text',
      coalesce((select string_agg(c.text, '' order by c.n) from app.generation_chunks c where c.generation_id = g.id), ''))
    where m.id = g.message_id;
  delete from app.generation_chunks c where c.generation_id = g.id;
  update app.generations x set status = p_status, why = p_why, finished_at = clock_timestamp() where x.id = g.id;
end $$;
grant execute on function app.append_chunk(uuid, int, text), app.finish_generation(uuid, text, text) to service;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Answers whose writer died: nobody renewed the lease. Each is then ended in a lane for its own user.
create function app.lapsed_generations() returns table (generation_id uuid, user_id uuid)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  -- A closed account's answers can't be ended in a lane of theirs; they must not stand in front of the others.
  return query select g.id, g.user_id from app.generations g join app.users u on u.id = g.user_id and u.status = 'active'
    where g.status = 'running' and g.lease_until < now() order by g.lease_until limit 100;
end $$;

create function app.tell_thread() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    perform app.tell(old.user_id, 'thread.gone', jsonb_build_object('thread', old.id));
  else
    perform app.tell(new.user_id, 'thread.changed', jsonb_build_object('thread', new.id));
  end if;
  return null;
end $$;

create function app.tell_message() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.tell(new.user_id, 'message.posted',
    jsonb_build_object('thread', new.thread_id, 'message', new.id, 'seq', new.seq));
  return null;
end $$;

create function app.tell_generation() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.status <> old.status then
    perform app.tell(new.user_id, 'answer.ended',
      jsonb_build_object('thread', new.thread_id, 'message', new.message_id, 'generation', new.id, 'status', new.status));
  elsif new.stop_asked_at is not null and old.stop_asked_at is null then
    perform app.tell(new.user_id, 'answer.stop', jsonb_build_object('thread', new.thread_id, 'generation', new.id));
  end if;
  return null;
end $$;

create function app.tell_chunk() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  g record;
begin
  select x.thread_id, x.message_id into g from app.generations x where x.id = new.generation_id and x.user_id = new.user_id;
  perform app.tell(new.user_id, 'answer.chunk',
    jsonb_build_object('thread', g.thread_id, 'message', g.message_id, 'n', new.n, 'text', new.text));
  return null;
end $$;

create trigger tell_thread after insert or delete or update on app.threads for each row execute function app.tell_thread();
create trigger tell_message after insert on app.messages for each row execute function app.tell_message();
-- WHEN keeps a renewed lease, several a second while an answer streams, from calling the function.
create trigger tell_generation after update on app.generations for each row
  when (new.status is distinct from old.status or new.stop_asked_at is distinct from old.stop_asked_at)
  execute function app.tell_generation();
create trigger tell_chunk after insert on app.generation_chunks for each row execute function app.tell_chunk();

alter function app.lapsed_generations() owner to moat_definer;
alter function app.tell_thread() owner to moat_definer;
alter function app.tell_message() owner to moat_definer;
alter function app.tell_generation() owner to moat_definer;
alter function app.tell_chunk() owner to moat_definer;
grant execute on function app.lapsed_generations() to service;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
