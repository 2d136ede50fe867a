-- Why: what an answer cost, as the model server counts it, so that somebody sees how full the model's memory is and what a
-- chat has used. NULL: nobody said.
alter table app.generations
  add column tokens_read int,
  add column tokens_written int,
  add constraint generations_tokens_counted check (tokens_read >= 0 and tokens_written >= 0);
comment on column app.generations.tokens_read is 'everything that the model was shown, earlier messages and instructions included';
grant update (tokens_read, tokens_written) on app.generations to service;

drop function app.finish_generation(uuid, text, text);
create function app.finish_generation(p_generation uuid, p_status text, p_why text,
    p_read int default null, p_written int default null) returns void
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
  update app.generations x set status = p_status, why = p_why, finished_at = clock_timestamp(),
      tokens_read = p_read, tokens_written = p_written
    where x.id = g.id;
end $$;
grant execute on function app.finish_generation(uuid, text, text, int, int) to service;

-- As before, but not when what would be answered has been emptied: the model would be asked nothing.
create or replace function app.answer_again(p_answer uuid, p_model text, p_client uuid default null,
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
  if exists (select from app.messages x where x.id = m.parent_id and x.thread_id = m.thread_id and x.deleted_at is not null) then
    raise exception using errcode = 'P0411', message = 'the question was deleted';
  end if;
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

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
-- As before, and which message it was: a window may show it far above the newest ones.
create or replace function app.tell_thread_of() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  r jsonb := to_jsonb(coalesce(new, old));
begin
  perform app.tell((r ->> 'user_id')::uuid, 'thread.changed',
    jsonb_build_object('thread', r -> 'thread_id', 'message', coalesce(r -> 'message_id', r -> 'id')));
  return null;
end $$;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- What a thread has cost is summed when it is opened.
create index generations_counted on app.generations (thread_id, user_id) include (tokens_read, tokens_written)
  where tokens_read is not null;
