-- Why: the live feed. A change writes an outbox row in its own transaction; the sequencer gives it a place in the feed.
-- An outbox id is no cursor: transactions commit out of order, and a reader who remembers "I saw 2" never sees a 1 that
-- commits later. A feed position is handed out under one row lock, after the commit, so it has no such holes.
create table app.outbox (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  kind text not null,
  payload jsonb not null
);
alter table app.outbox enable row level security;
alter table app.outbox force row level security;
create policy select_definer on app.outbox for select to moat_definer using (true);
create policy insert_definer on app.outbox for insert to moat_definer with check (true);
create policy delete_definer on app.outbox for delete to moat_definer using (true);
grant select, insert, delete on app.outbox to moat_definer;
comment on table app.outbox is 'operations; refused: select, insert, update, delete';

-- pos is everybody's and stays in the server; a user is told upos, which counts their own events alone. A place in the
-- common order would tell whoever asks twice how much is going on with everybody else.
create table app.feed (
  pos bigint primary key,
  user_id uuid not null,
  upos bigint not null,
  kind text not null,
  payload jsonb not null,
  created_at timestamptz not null default now()
);
create unique index feed_of_user on app.feed (user_id, upos);
create index feed_by_age on app.feed (created_at);
alter table app.feed enable row level security;
alter table app.feed force row level security;
create policy select_definer on app.feed for select to moat_definer using (true);
create policy insert_definer on app.feed for insert to moat_definer with check (true);
create policy delete_definer on app.feed for delete to moat_definer using (true);
grant select, insert, delete on app.feed to moat_definer;
comment on table app.feed is 'operations; refused: select, insert, update, delete';

-- One row: the newest place given out. Its lock is what makes the sequencer one at a time.
create table app.feed_head (
  one boolean primary key default true check (one),
  pos bigint not null default 0
);
insert into app.feed_head (one) values (true);
alter table app.feed_head enable row level security;
alter table app.feed_head force row level security;
create policy select_definer on app.feed_head for select to moat_definer using (true);
create policy update_definer on app.feed_head for update to moat_definer using (true);
grant select, update on app.feed_head to moat_definer;
comment on table app.feed_head is 'operations; refused: select, insert, update, delete';

-- A row a user. pos: the newest of their own places. floor: everything up to here has been forgotten.
create table app.feed_users (
  user_id uuid primary key,
  pos bigint not null default 0,
  floor bigint not null default 0
);
alter table app.feed_users enable row level security;
alter table app.feed_users force row level security;
create policy select_definer on app.feed_users for select to moat_definer using (true);
create policy insert_definer on app.feed_users for insert to moat_definer with check (true);
create policy update_definer on app.feed_users for update to moat_definer using (true);
grant select, insert, update on app.feed_users to moat_definer;
comment on table app.feed_users is 'operations; refused: select, insert, update, delete';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Volatile, so that each statement has a snapshot taken after the lock was won. NOTIFY rides here and not with the
-- writers, whose commits it would line up behind one global lock.
create function app.sequence_feed(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  h bigint;
  n int;
begin
  perform app.require_reason('live');
  select f.pos into h from app.feed_head f for update;
  with moved as (
    delete from app.outbox o where o.id in (select i.id from app.outbox i order by i.id limit p_limit)
    returning o.id, o.user_id, o.kind, o.payload
  ), heads as (
    insert into app.feed_users as u (user_id, pos) select m.user_id, count(*) from moved m group by m.user_id
    on conflict (user_id) do update set pos = u.pos + excluded.pos
    returning u.user_id, u.pos
  )
  insert into app.feed (pos, user_id, upos, kind, payload)
    select h + row_number() over (order by m.id), m.user_id,
           x.pos - count(*) over (partition by m.user_id) + row_number() over (partition by m.user_id order by m.id),
           m.kind, m.payload
      from moved m join heads x on x.user_id = m.user_id;
  get diagnostics n = row_count;
  if n > 0 then
    update app.feed_head f set pos = h + n;
    perform pg_notify('moat_feed', '');
  end if;
  return n;
end $$;

create function app.read_feed(p_after bigint, p_limit int)
returns table (pos bigint, user_id uuid, upos bigint, kind text, payload jsonb)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('live');
  return query select f.pos, f.user_id, f.upos, f.kind, f.payload from app.feed f where f.pos > p_after order by f.pos limit p_limit;
end $$;

-- Where the feed ends now, for a process that begins to listen.
create function app.feed_end() returns bigint
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('live');
  return (select f.pos from app.feed_head f);
end $$;

-- Where the caller's own events end now. A page reads it before its rows: what the rows then miss is after the cursor.
create function app.my_cursor(out pos bigint, out floor bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  select u.pos, u.floor into pos, floor from app.feed_users u where u.user_id = auth.uid();
  pos := coalesce(pos, 0);
  floor := coalesce(floor, 0);
end $$;

-- The caller's own events after a cursor, up to the place where the process's live stream takes over.
create function app.my_feed(p_after bigint, p_upto bigint, p_limit int)
returns table (pos bigint, kind text, payload jsonb)
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  return query select f.upos, f.kind, f.payload from app.feed f
    where f.user_id = me and f.upos > p_after and f.upos <= p_upto order by f.upos limit p_limit;
end $$;

create function app.prune_feed(p_keep interval) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  with gone as (
    delete from app.feed x where x.created_at < now() - p_keep returning x.user_id, x.upos
  ), floors as (
    select g.user_id, max(g.upos) as upos from gone g group by g.user_id
  )
  update app.feed_users u set floor = greatest(u.floor, f.upos) from floors f where u.user_id = f.user_id;
end $$;

-- The one way into the outbox. No request role may call it: triggers do, in the transaction of the change.
create function app.tell(p_user uuid, p_kind text, p_payload jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.outbox (user_id, kind, payload) values (p_user, p_kind, p_payload);
end $$;

create function app.tell_session() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.revoked_at is not null and old.revoked_at is null then
    perform app.tell(new.user_id, 'session.ended', jsonb_build_object('sid', new.id));
  end if;
  return null;
end $$;

create function app.tell_user() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.status <> 'active' or new.tokens_valid_from > old.tokens_valid_from then
    perform app.tell(new.id, 'user.closed', '{}');
  end if;
  return null;
end $$;

-- Before the functions change hands: making a trigger needs EXECUTE on its function.
create trigger tell_session after update on app.sessions for each row execute function app.tell_session();
create trigger tell_user after update on app.users for each row execute function app.tell_user();

alter function app.sequence_feed(int) owner to moat_definer;
alter function app.read_feed(bigint, int) owner to moat_definer;
alter function app.feed_end() owner to moat_definer;
alter function app.my_cursor() owner to moat_definer;
alter function app.my_feed(bigint, bigint, int) owner to moat_definer;
alter function app.prune_feed(interval) owner to moat_definer;
alter function app.tell(uuid, text, jsonb) owner to moat_definer;
alter function app.tell_session() owner to moat_definer;
alter function app.tell_user() owner to moat_definer;
grant execute on function app.sequence_feed(int), app.read_feed(bigint, int), app.feed_end(), app.prune_feed(interval) to service;
grant execute on function app.my_cursor(), app.my_feed(bigint, bigint, int) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
