-- Why: the tree of messages and the list of threads were made side by side. A thread that was deleted a moment ago is kept
-- to be taken back; until then nothing in it can be changed or copied. A copy stays where its original is.
create or replace function app.lock_thread(p_thread uuid, out owner uuid, out last_seq bigint, out leaf uuid)
language plpgsql volatile security invoker set search_path = '' as $$
begin
  select t.user_id, t.last_seq, t.leaf_id into owner, last_seq, leaf from app.threads t
    where t.id = p_thread and t.deleted_at is null for no key update;
  if not found then raise exception using errcode = 'P0404', message = 'no such thread'; end if;
  if leaf is null then
    select m.id into leaf from app.messages m where m.thread_id = p_thread order by m.seq desc limit 1;
  end if;
end $$;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant select (folder_id), insert (temporary, folder_id) on app.threads to moat_definer;

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
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- The list's and the import's policies of moat_definer say the same as those of the fork.
drop policy select_fork on app.threads;
drop policy insert_fork on app.threads;
drop policy update_fork on app.threads;
drop policy select_fork on app.messages;
drop policy insert_fork on app.messages;
