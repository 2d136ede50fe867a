-- Why: the list of threads. Folders with instructions, the marks that a list is sorted by (pinned, archived, unread,
-- temporary, deleted for the moment), and the search over titles and messages.
create table app.folders (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references app.users on delete cascade,
  name text not null,
  instructions text not null default '',
  created_at timestamptz not null default now(),
  primary key (id, user_id),
  constraint folders_name_once unique (user_id, name),
  constraint folders_name_length check (length(name) between 1 and 80),
  constraint folders_instructions_length check (length(instructions) <= 8000)
);
alter table app.folders enable row level security;
alter table app.folders force row level security;
create policy select_own on app.folders for select to authenticated using (user_id = (select auth.uid()));
create policy insert_own on app.folders for insert to authenticated with check (user_id = (select auth.uid()));
create policy update_own on app.folders for update to authenticated using (user_id = (select auth.uid()));
create policy delete_own on app.folders for delete to authenticated using (user_id = (select auth.uid()));
grant select, insert (id, user_id, name, instructions), update (name, instructions), delete on app.folders to authenticated;
-- Not granted: update of user_id. A folder does not change hands.
comment on table app.folders is 'private';
comment on column app.folders.instructions is 'sent to the answerer ahead of every thread in the folder';

-- A text as it is searched: no accents, no capitals, no punctuation, and a character of a script that writes no spaces is a
-- word of its own. Immutable, so that a column can be made of it.
create function app.plain(p text) returns text language plpgsql immutable as $$
begin
  if octet_length(p) <> length(p) then
    p := normalize(regexp_replace(normalize(p, nfkd), '[\u0300-\u036f]+', '', 'g'), nfkc);
    p := regexp_replace(p, '([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af])', ' \1 ', 'g');
    p := translate(p, '–—―‐‑‒‘’‚“”„‹›«»•·¿¡…、。「」『』（）【】！？：；，．', repeat(' ', 60));
  end if;
  return lower(translate(p, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));
end $$;

-- The words of a text, and its owner as one more word: with that the index reads one person's entries alone. No text can
-- contain that word, since its slash is punctuation. A text is cut where a tsvector, which holds 1 MB, could overflow: what
-- was written has to be stored, whether it can be searched to its end or not.
create function app.words(p_user uuid, p_text text) returns tsvector language plpgsql immutable strict as $$
begin
  return array_to_tsvector(array['/' || p_user::text])
    || to_tsvector('pg_catalog.simple', left(app.plain(left(p_text, 200000)), 200000));
end $$;
grant execute on function app.plain(text), app.words(uuid, text) to authenticated, service, moat_definer;

-- What somebody typed as a query: words in any order, "quoted words" in this order, the last word as far as it has been typed
-- unless a space or a quote ends it. NULL when there is no word in it.
create function app.search_terms(p_query text) returns tsquery language plpgsql immutable as $$
declare
  term text[];
  q tsquery;
  whole tsquery;
  terms tsquery[] := '{}';
  typing boolean := false;
begin
  for term in select regexp_matches(p_query, '"([^"]*)"?|([^"[:space:]]+)', 'g') loop
    q := phraseto_tsquery('pg_catalog.simple', app.plain(coalesce(term[1], term[2])));
    continue when numnode(q) = 0;
    terms := terms || q;
    typing := term[2] is not null;
  end loop;
  if typing and p_query !~ '[[:space:]]$' then
    q := terms[cardinality(terms)];
    terms[cardinality(terms)] := (q::text || ':*')::tsquery;
  end if;
  foreach q in array terms loop
    whole := case when whole is null then q else whole && q end;
  end loop;
  return whole;
end $$;
grant execute on function app.search_terms(text) to authenticated, moat_definer;

alter table app.threads
  add column pinned boolean not null default false,
  add column archived boolean not null default false,
  add column unread boolean not null default false,
  add column temporary boolean not null default false,
  add column deleted_at timestamptz,
  add column folder_id uuid,
  -- Rewrites the table; so does the one of messages below. On millions of rows that takes minutes.
  add column title_words tsvector generated always as (app.words(user_id, title)) stored,
  add constraint threads_folder_fkey foreign key (folder_id, user_id) references app.folders (id, user_id) on delete set null (folder_id);
alter table app.messages
  add column words tsvector generated always as (app.words(user_id, content ->> 'text')) stored;

-- One for each list that can be asked for: a page of it is the beginning of its index, however many other threads there are.
create index threads_listed on app.threads (user_id, active_at desc, id desc) where not pinned and not archived and deleted_at is null;
create index threads_pinned on app.threads (user_id, active_at desc, id desc) where pinned and not archived and deleted_at is null;
create index threads_archived on app.threads (user_id, active_at desc, id desc) where archived and deleted_at is null;
create index threads_unread on app.threads (user_id, active_at desc, id desc) where unread and not archived and deleted_at is null;
create index threads_in_folder on app.threads (user_id, folder_id, active_at desc, id desc) where not archived and deleted_at is null;
create index threads_of_folder on app.threads (folder_id, user_id) where folder_id is not null;
create index threads_deleted on app.threads (deleted_at) where deleted_at is not null;
create index threads_undo on app.threads (user_id, deleted_at desc) where deleted_at is not null;
create index threads_temporary on app.threads (active_at) where temporary;
create index threads_words on app.threads using gin (title_words);
create index messages_words on app.messages using gin (words);
create index messages_newest on app.messages (user_id, created_at desc, thread_id desc, seq desc);

grant update (pinned, archived, unread, temporary, deleted_at, folder_id) on app.threads to authenticated;
comment on column app.threads.unread is 'an answer has ended since its owner looked, or they marked it so';
comment on column app.threads.temporary is 'goes by itself 24 hours after its last message; is not searched';
comment on column app.threads.deleted_at is 'in no list any more; can be taken back until app.sweep_threads comes by. The policies show the owner the row: an update may not hide its row from the policy that it was found by';

-- A time zone that is none is no reason to show no list.
create function app.zone(p_zone text) returns text language plpgsql stable as $$
begin
  perform now() at time zone p_zone;
  return p_zone;
exception when invalid_parameter_value then
  return 'UTC';
end $$;
grant execute on function app.zone(text) to authenticated;

-- Nothing is posted into a thread that is being deleted, whichever function tries: all of them bump last_seq.
create function app.refuse_deleted() returns trigger language plpgsql as $$
begin
  raise exception using errcode = 'P0404', message = 'no such thread';
end $$;
create trigger refuse_deleted before update of last_seq on app.threads for each row
  when (old.deleted_at is not null) execute function app.refuse_deleted();

create policy select_definer on app.threads for select to moat_definer using (true);
create policy update_definer on app.threads for update to moat_definer using (true);
create policy delete_definer on app.threads for delete to moat_definer using (true);
create policy select_definer on app.messages for select to moat_definer using (true);
grant select (id, user_id, active_at, title_words, temporary, deleted_at, unread), update (unread), delete on app.threads to moat_definer;
grant select (id, user_id, thread_id, seq, words, created_at, deleted_at) on app.messages to moat_definer;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- The caller's threads that have the words: those with all of them in the title first, newest first; then those with all of
-- them in one message, by the newest such message, which is named. A definer function, because under row security the
-- operators of full-text search get no index; it filters by the owner itself.
--
-- Common words are found among what is newest, without reading all the others; what is rare there is left to the index.
-- Either way the result is the same: what is newest comes first. The settings keep the planner to the indexes: it does not
-- know how few of a person's rows a search is about, and would read all of their threads to join them.
create function app.search_threads(p_query text, p_limit int)
returns table (thread_id uuid, in_title boolean, message_id uuid)
language plpgsql stable security definer set search_path = ''
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  me uuid := auth.uid();
  q tsquery := app.search_terms(p_query);
  mine tsquery;
  titles int;
  seen uuid[] := '{}';
  found uuid[] := '{}';
  hits uuid[] := '{}';
  walked int := 0;
  r record;
begin
  if me is null or q is null then return; end if;
  mine := q && quote_literal('/' || me::text)::tsquery;

  select coalesce(array_agg(x.id), '{}') into found from (
    select w.id from (
      select t.id, t.title_words, t.temporary, t.deleted_at from app.threads t where t.user_id = me
       order by t.active_at desc, t.id desc limit 1000) w
     where w.title_words @@ q and w.deleted_at is null and not w.temporary limit p_limit) x;
  if cardinality(found) < p_limit then
    select coalesce(array_agg(x.id), '{}') into found from (
      select t.id from app.threads t
       where t.user_id = me and t.title_words @@ mine and t.deleted_at is null and not t.temporary
       order by t.active_at desc, t.id desc limit p_limit) x;
  end if;
  foreach thread_id in array found loop
    in_title := true;
    message_id := null;
    return next;
  end loop;
  titles := cardinality(found);
  if titles >= p_limit then return; end if;

  in_title := false;
  seen := found;
  found := '{}';
  for r in
    select w.thread_id, w.id, w.words @@ q and w.deleted_at is null as hit from (
      select m.thread_id, m.id, m.words, m.deleted_at from app.messages m where m.user_id = me
       order by m.created_at desc, m.thread_id desc, m.seq desc limit 3000) w
  loop
    walked := walked + 1;
    continue when not r.hit or r.thread_id = any(seen);
    seen := seen || r.thread_id;
    continue when exists (select from app.threads t where t.id = r.thread_id and t.user_id = me
      and (t.deleted_at is not null or t.temporary or t.title_words @@ q));
    found := found || r.thread_id;
    hits := hits || r.id;
    exit when titles + cardinality(found) >= p_limit;
  end loop;
  if walked < 3000 or titles + cardinality(found) >= p_limit then
    for i in 1 .. cardinality(found) loop
      thread_id := found[i];
      message_id := hits[i];
      return next;
    end loop;
    return;
  end if;
  return query
    select f.thread_id, false, f.id from (
      select distinct on (m.thread_id) m.thread_id, m.id, m.created_at, m.seq from app.messages m
       where m.user_id = me and m.words @@ mine and m.deleted_at is null
       order by m.thread_id, m.created_at desc, m.seq desc) f
      join app.threads t on t.id = f.thread_id and t.user_id = me
     where t.deleted_at is null and not t.temporary and not t.title_words @@ q
     order by f.created_at desc, f.thread_id desc, f.seq desc
     limit p_limit - titles;
end $$;

-- What was deleted a minute ago, and temporary threads a day after their last message. A few at a time: each takes all of
-- its messages along. An answer that is being written into one of them loses its place; its writer then stops.
create function app.sweep_threads() returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  n int;
  m int;
begin
  perform app.require_reason('sweep');
  delete from app.threads t where (t.id, t.user_id) in (
    select x.id, x.user_id from app.threads x where x.deleted_at < now() - interval '1 minute' limit 100);
  get diagnostics n = row_count;
  delete from app.threads t where (t.id, t.user_id) in (
    select x.id, x.user_id from app.threads x where x.temporary and x.active_at < now() - interval '24 hours' limit 100);
  get diagnostics m = row_count;
  return n + m;
end $$;

-- To a window, a thread that is deleted is gone, and one that is taken back is there again.
create or replace function app.tell_thread() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    perform app.tell(old.user_id, 'thread.gone', jsonb_build_object('thread', old.id));
  elsif new.deleted_at is not null then
    perform app.tell(new.user_id, 'thread.gone', jsonb_build_object('thread', new.id));
  else
    perform app.tell(new.user_id, 'thread.changed', jsonb_build_object('thread', new.id));
  end if;
  return null;
end $$;

-- An answer that has ended waits to be read; one that its reader stopped does not.
create function app.mark_unread() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.threads t set unread = true where t.id = new.thread_id and t.user_id = new.user_id and not t.unread;
  return null;
end $$;
create trigger mark_unread after update of status on app.generations for each row
  when (old.status = 'running' and new.status not in ('running', 'stopped')) execute function app.mark_unread();

alter function app.search_threads(text, int) owner to moat_definer;
alter function app.sweep_threads() owner to moat_definer;
alter function app.mark_unread() owner to moat_definer;
grant execute on function app.search_threads(text, int) to authenticated;
grant execute on function app.sweep_threads() to service;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
