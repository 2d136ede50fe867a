-- Why: chats that come from elsewhere. An import writes what an assistant said, which no request role may: one function does
-- it for the caller, whole conversations at a time, for an import that is under way.
create table app.imports (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references app.users on delete cascade,
  name text not null,
  status text not null default 'running',
  why text not null default '',
  threads int not null default 0,
  known int not null default 0,
  messages int not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (id, user_id),
  constraint imports_name_length check (length(name) <= 200),
  constraint imports_why_length check (length(why) <= 500),
  constraint imports_status_known check (status in ('running', 'done', 'failed'))
);
create index imports_newest on app.imports (user_id, created_at desc);
alter table app.imports enable row level security;
alter table app.imports force row level security;
create policy select_own on app.imports for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.imports for insert to authenticated with check (user_id = (select auth.uid()));
create policy select_definer on app.imports for select to moat_definer using (true);
create policy update_definer on app.imports for update to moat_definer using (true);
grant select, insert (user_id, name) on app.imports to authenticated;
grant select, update (status, why, threads, known, messages, updated_at) on app.imports to moat_definer;
-- Not granted: update (the functions below count), delete (a few rows a person).
comment on table app.imports is 'private; refused: update, delete';
comment on column app.imports.known is 'conversations that were there already';

create policy insert_definer on app.threads for insert to moat_definer with check (true);
create policy insert_definer on app.messages for insert to moat_definer with check (true);
grant insert (id, user_id, client_id, title, title_by, last_seq, created_at, active_at) on app.threads to moat_definer;
grant insert (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at) on app.messages to moat_definer;
grant select (client_id) on app.threads to moat_definer;

-- An import of ten thousand chats is one event, "read anew", at its end, and not a hundred thousand.
drop trigger tell_thread on app.threads;
drop trigger tell_message on app.messages;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
create trigger tell_thread after insert or delete or update on app.threads for each row
  when (current_setting('moat.quiet', true) is distinct from 'on') execute function app.tell_thread();
create trigger tell_message after insert on app.messages for each row
  when (current_setting('moat.quiet', true) is distinct from 'on') execute function app.tell_message();

-- One conversation. False: it is there already, under the id that it had in an export of this very account or from an
-- earlier import. p_messages: an array of {client, parent (an index into it), role, text, at}, parents before children.
create function app.import_thread(p_import uuid, p_client uuid, p_source uuid, p_title text, p_created timestamptz,
    p_active timestamptz, p_messages jsonb) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  thread uuid := gen_random_uuid();
  ids uuid[];
begin
  update app.imports i set updated_at = clock_timestamp() where i.id = p_import and i.user_id = me and i.status = 'running';
  if not found then raise exception using errcode = 'P0404', message = 'no such import'; end if;
  if exists (select from app.threads t where t.id = p_source and t.user_id = me) then
    thread := null;
  else
    perform set_config('moat.quiet', 'on', true);
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

-- Its end; every window then reads its list anew.
create function app.end_import(p_import uuid, p_status text, p_why text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.imports i set status = p_status, why = p_why, updated_at = clock_timestamp()
    where i.id = p_import and i.user_id = auth.uid() and i.status = 'running';
  if found then perform app.tell(auth.uid(), 'resync', '{}'); end if;
end $$;

alter function app.import_thread(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb) owner to moat_definer;
alter function app.end_import(uuid, text, text) owner to moat_definer;
grant execute on function app.import_thread(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb), app.end_import(uuid, text, text)
  to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
