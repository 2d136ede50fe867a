-- Why: a chat that comes from a file is what it was where it comes from, with the branch that was shown, its folder and its
-- marks; and one that has grown there since its first import grows here, too.
alter table app.imports
  add column grown int not null default 0,
  add column appended int not null default 0;
grant update (grown, appended) on app.imports to moat_definer;
grant select (leaf_id) on app.threads to moat_definer;
comment on column app.imports.threads is 'conversations that are new';
comment on column app.imports.messages is 'messages in the new ones';
comment on column app.imports.grown is 'conversations that were there already and got messages';
comment on column app.imports.appended is 'messages that those got';
comment on column app.imports.known is 'conversations that were there already with all of their messages';

-- The newest end below a message: where nothing hangs on any more. A branch that is shown no further than to somewhere above
-- its end would have messages that nobody can get to.
create function app.branch_end(p_thread uuid, p_message uuid) returns uuid
language sql stable security invoker set search_path = '' as $$
  with recursive down as (
    select p_message as id, 0 as depth
    union all
    select c.id, down.depth + 1 from down cross join lateral (
      select x.id from app.messages x where x.parent_id = down.id and x.thread_id = p_thread order by x.seq desc limit 1) c
  )
  select d.id from down d order by d.depth desc limit 1;
$$;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- An import is one event, with its thumbs.
drop trigger tell_thumb on app.thumbs;
create trigger tell_thumb after insert or update or delete on app.thumbs for each row
  when (current_setting('moat.quiet', true) is distinct from 'on') execute function app.tell_thread_of();

-- What was said in one conversation, and nothing else about it. It may be there already, under the id that it had in an export
-- of this very account or from an earlier import: then what it lacks is appended, and what it has is left as it is. p_messages:
-- an array of {id, client, parent (an index into it), role, text, at, ended, deleted, model}, parents before children; id: what
-- a message was called in an export of this very account. Given back: where the conversation stood, and for each message its
-- row and whether that is new.
drop function app.import_thread(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb);
create function app.import_thread(p_import uuid, p_client uuid, p_source uuid, p_title text, p_created timestamptz,
    p_active timestamptz, p_messages jsonb,
    out thread uuid, out created boolean, out leaf uuid, out ids uuid[], out fresh boolean[], out added int)
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
  t record;
begin
  update app.imports i set updated_at = clock_timestamp() where i.id = p_import and i.user_id = me and i.status = 'running';
  if not found then raise exception using errcode = 'P0404', message = 'no such import'; end if;
  created := false;
  -- Once more when a twin, or a sweep, has come in between.
  loop
    select x.id, x.last_seq, x.leaf_id into t from app.threads x where x.id = p_source and x.user_id = me for no key update;
    exit when found;
    select x.id, x.last_seq, x.leaf_id into t from app.threads x where x.client_id = p_client and x.user_id = me for no key update;
    exit when found;
    insert into app.threads as x (user_id, client_id, title, title_by, created_at, active_at)
      values (me, p_client, p_title, 'user', p_created, p_active)
      on conflict (client_id, user_id) do nothing returning x.id, x.last_seq, x.leaf_id into t;
    created := found;
    exit when created;
  end loop;
  thread := t.id;
  if created then
    ids := array(select null::uuid from jsonb_array_elements(p_messages));
  else
    -- Deleted a moment ago: taken back, or it would be swept, and the import would have said that it is there.
    update app.threads x set deleted_at = null where x.id = t.id and x.user_id = me and x.deleted_at is not null;
    leaf := t.leaf_id;
    if leaf is null then
      select x.id into leaf from app.messages x where x.thread_id = t.id and x.user_id = me order by x.seq desc limit 1;
    end if;
    ids := array(
      select coalesce(
          (select x.id from app.messages x where x.id = (e.m ->> 'id')::uuid and x.thread_id = t.id and x.user_id = me),
          (select x.id from app.messages x where x.client_id = (e.m ->> 'client')::uuid and x.thread_id = t.id and x.user_id = me))
        from jsonb_array_elements(p_messages) with ordinality e(m, n) order by e.n);
  end if;
  fresh := array(select e.i is null from unnest(ids) with ordinality e(i, n) order by e.n);
  ids := array(select coalesce(e.i, gen_random_uuid()) from unnest(ids) with ordinality e(i, n) order by e.n);
  insert into app.messages (id, thread_id, user_id, seq, parent_id, client_id, role, content, created_at, deleted_at)
    select ids[e.n], t.id, me, t.last_seq + row_number() over (order by e.n), ids[(e.m ->> 'parent')::int + 1],
           (e.m ->> 'client')::uuid, e.m ->> 'role',
           jsonb_strip_nulls(jsonb_build_object('text', e.m ->> 'text', 'ended', e.m ->> 'ended', 'model', e.m ->> 'model')),
           to_timestamp((e.m ->> 'at')::double precision), case when (e.m ->> 'deleted')::boolean then now() end
      from jsonb_array_elements(p_messages) with ordinality e(m, n) where fresh[e.n];
  get diagnostics added = row_count;
  if added > 0 then
    update app.threads x set last_seq = t.last_seq + added, active_at = greatest(x.active_at, p_active)
      where x.id = t.id and x.user_id = me;
  end if;
  update app.imports i set
      threads = i.threads + case when created then 1 else 0 end,
      messages = i.messages + case when created then added else 0 end,
      grown = i.grown + case when not created and added > 0 then 1 else 0 end,
      appended = i.appended + case when created then 0 else added end,
      known = i.known + case when created or added > 0 then 0 else 1 end
    where i.id = p_import and i.user_id = me;
end $$;
alter function app.import_thread(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb) owner to moat_definer;
grant execute on function app.import_thread(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;

-- One conversation with all that belongs to it, as its owner could set it by hand, and in their own rights. p_messages: as
-- above, and in each thumb and left (an index: the end of the branch through it). p_marks: {folder (its name), pinned,
-- archived, model, instructions, shown (an index)}; of a conversation that is there already they are left as they are.
-- p_pins: how many can be pinned. filed, pinned: false when it should be and there is no such folder, or no room.
create function app.import_chat(p_import uuid, p_client uuid, p_source uuid, p_title text, p_created timestamptz,
    p_active timestamptz, p_messages jsonb, p_marks jsonb, p_pins int,
    out created boolean, out added int, out pinned boolean, out filed boolean)
language plpgsql volatile security invoker set search_path = '' as $$
declare
  i record;
  shown uuid;
  folder uuid;
  is_archived boolean := (p_marks ->> 'archived')::boolean;
  is_pinned boolean := (p_marks ->> 'pinned')::boolean and not (p_marks ->> 'archived')::boolean;
begin
  perform set_config('moat.quiet', 'on', true);
  select * into i from app.import_thread(p_import, p_client, p_source, p_title, p_created, p_active, p_messages);
  created := i.created;
  added := i.added;
  pinned := true;
  filed := true;
  shown := i.ids[(p_marks ->> 'shown')::int + 1];
  if added > 0 then
    insert into app.thumbs (message_id, thread_id, up)
      select i.ids[e.n], i.thread, (e.m ->> 'thumb')::boolean from jsonb_array_elements(p_messages) with ordinality e(m, n)
       where i.fresh[e.n] and e.m ->> 'role' = 'assistant' and e.m ->> 'thumb' is not null;
    insert into app.branches (message_id, thread_id, leaf_id)
      select i.ids[e.n], i.thread, i.ids[(e.m ->> 'left')::int + 1] from jsonb_array_elements(p_messages) with ordinality e(m, n)
       where i.fresh[e.n] and e.m ->> 'left' is not null;
  end if;
  if created then
    -- Held, or it could go before this row points to it.
    select f.id into folder from app.folders f where f.name = p_marks ->> 'folder' for key share;
    filed := folder is not null or p_marks ->> 'folder' is null;
    if is_pinned then
      pinned := (select count(*) from app.threads t where t.pinned and not t.archived and t.deleted_at is null) < p_pins;
    end if;
    update app.threads t set folder_id = folder, pinned = is_pinned and import_chat.pinned, archived = is_archived,
        model = p_marks ->> 'model', instructions = p_marks ->> 'instructions', leaf_id = shown
      where t.id = i.thread;
  elsif added > 0 then
    -- The branch that is shown grows with the file, and is left for no other: its reader may have turned to it since, or have
    -- gone on from there.
    if exists (
      with recursive up as (
        select m.id, m.parent_id from app.messages m where m.id = shown and m.thread_id = i.thread
        union all
        select m.id, m.parent_id from up join app.messages m on m.id = up.parent_id and m.thread_id = i.thread
      )
      select from up where up.id = i.leaf)
    then
      i.leaf := shown;
    end if;
    update app.threads t set leaf_id = app.branch_end(i.thread, i.leaf) where t.id = i.thread;
    update app.branches b set leaf_id = ends.at from (
        select l.leaf_id, app.branch_end(i.thread, l.leaf_id) as at
          from (select distinct x.leaf_id from app.branches x where x.thread_id = i.thread) l) ends
      where b.thread_id = i.thread and b.leaf_id = ends.leaf_id and ends.at <> ends.leaf_id;
  end if;
  perform set_config('moat.quiet', '', true);
end $$;
grant execute on function app.branch_end(uuid, uuid),
  app.import_chat(uuid, uuid, uuid, text, timestamptz, timestamptz, jsonb, jsonb, int) to authenticated;
