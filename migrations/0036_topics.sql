-- Why: the feed told people of what is theirs. A desk, and a customer in a talk, have a feed of their own as well, with places of
-- their own: an event belongs to a topic, which is a person's id, a workspace's (its desk) or a conversation's (what its
-- customer may hear). Who may hear a topic is asked when somebody subscribes; what ends that is an event in it, and comes before
-- whatever was committed after it.
alter table app.outbox rename column user_id to topic;
alter table app.feed rename column user_id to topic;
alter table app.feed rename column upos to tpos;
alter index app.feed_of_user rename to feed_of_topic;
alter table app.feed_users rename to feed_topics;
alter table app.feed_topics rename column user_id to topic;

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- What ends somebody's hearing: moved before everything else that waits, or an event that was written before it and committed
-- after it would still be heard.
create function app.ends_hearing(p_kind text) returns boolean
language sql immutable as $$ select p_kind in ('session.ended', 'user.closed', 'place.gone', 'desk.closed', 'conversation.closed') $$;
create index outbox_ends on app.outbox (id) where app.ends_hearing(kind);

create or replace function app.sequence_feed(p_limit int) returns int
language plpgsql volatile security definer set search_path = '' as $$
declare
  h bigint;
  n int;
begin
  perform app.require_reason('live');
  select f.pos into h from app.feed_head f for update;
  with ends as (
    select i.id from app.outbox i where app.ends_hearing(i.kind) order by i.id limit p_limit
  ), others as (
    select i.id from app.outbox i where (select count(*) from ends) < p_limit order by i.id limit p_limit
  ), moved as (
    delete from app.outbox o where o.id in (select e.id from ends e union select i.id from others i)
    returning o.id, o.topic, o.kind, o.payload, app.ends_hearing(o.kind) as first
  ), heads as (
    insert into app.feed_topics as u (topic, pos) select m.topic, count(*) from moved m group by m.topic
    on conflict (topic) do update set pos = u.pos + excluded.pos
    returning u.topic, u.pos
  )
  insert into app.feed (pos, topic, tpos, kind, payload)
    select h + row_number() over (order by m.first desc, m.id), m.topic,
           x.pos - count(*) over (partition by m.topic) + row_number() over (partition by m.topic order by m.first desc, m.id),
           m.kind, m.payload
      from moved m join heads x on x.topic = m.topic;
  get diagnostics n = row_count;
  if n > 0 then
    update app.feed_head f set pos = h + n;
    perform pg_notify('moat_feed', '');
  end if;
  return n;
end $$;

drop function app.read_feed(bigint, int);
create function app.read_feed(p_after bigint, p_limit int)
returns table (pos bigint, topic uuid, tpos bigint, kind text, payload jsonb)
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('live');
  return query select f.pos, f.topic, f.tpos, f.kind, f.payload from app.feed f where f.pos > p_after order by f.pos limit p_limit;
end $$;

-- The topics that the lane's caller may hear: their own, and the desk of the workspace that the lane is in.
create function app.my_topic(p_desk boolean) returns uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  if not p_desk then return auth.uid(); end if;
  return (select w.id from app.workspaces w where w.id = app.member_org() and w.deleted_at is null);
end $$;

drop function app.my_cursor();
create function app.my_cursor(p_desk boolean, out topic uuid, out pos bigint, out floor bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  topic := app.my_topic(p_desk);
  select u.pos, u.floor into pos, floor from app.feed_topics u where u.topic = my_cursor.topic;
  pos := coalesce(pos, 0);
  floor := coalesce(floor, 0);
end $$;

drop function app.my_feed(bigint, bigint, int);
create function app.my_feed(p_desk boolean, p_after bigint, p_upto bigint, p_limit int)
returns table (pos bigint, kind text, payload jsonb)
language plpgsql stable security definer set search_path = '' as $$
declare
  mine uuid := app.my_topic(p_desk);
begin
  return query select f.tpos, f.kind, f.payload from app.feed f
    where f.topic = mine and f.tpos > p_after and f.tpos <= p_upto order by f.tpos limit p_limit;
end $$;

create or replace function app.prune_feed(p_keep interval) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  with gone as (
    delete from app.feed x where x.created_at < now() - p_keep returning x.topic, x.tpos
  ), floors as (
    select g.topic, max(g.tpos) as tpos from gone g group by g.topic
  )
  update app.feed_topics u set floor = greatest(u.floor, f.tpos) from floors f where u.topic = f.topic;
end $$;

create or replace function app.erase_next() returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  who uuid;
begin
  perform app.require_reason('sweep');
  select u.id into who from app.users u where u.erased_at is not null order by u.erased_at limit 1 for update skip locked;
  if who is null then return false; end if;
  delete from app.users u where u.id = who;
  -- The feed has no foreign key, and its events carry words of answers. The sequencer's lock, or what it is moving at this
  -- moment would be in neither table for us, and stay.
  perform from app.feed_head f for update;
  delete from app.feed f where f.topic = who;
  delete from app.outbox o where o.topic = who;
  -- Told again, since the line above may have taken it before every process had heard it.
  perform app.tell(who, 'user.closed', '{}');
  return true;
end $$;

drop function app.tell(uuid, text, jsonb);
create function app.tell(p_topic uuid, p_kind text, p_payload jsonb) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.outbox (topic, kind, payload) values (p_topic, p_kind, p_payload);
end $$;

-- Whoever loses their place in a workspace hears nothing of its desk that is committed afterwards. It names the place and not the
-- person, who may have come back by then. The workspace's id stays in the server: the stream passes this on to nobody.
create function app.tell_place_gone() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.tell(old.workspace_id, 'place.gone', jsonb_build_object('place', old.id));
  return null;
end $$;
create function app.tell_desk_closed() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  if new.deleted_at is not null and old.deleted_at is null then
    perform app.tell(new.id, 'desk.closed', '{}');
  end if;
  return null;
end $$;
create trigger tell_place_gone after delete on app.workspace_members for each row execute function app.tell_place_gone();
create trigger tell_desk_closed after update of deleted_at on app.workspaces for each row execute function app.tell_desk_closed();

alter function app.read_feed(bigint, int) owner to moat_definer;
alter function app.my_topic(boolean) owner to moat_definer;
alter function app.my_cursor(boolean) owner to moat_definer;
alter function app.my_feed(boolean, bigint, bigint, int) owner to moat_definer;
alter function app.tell(uuid, text, jsonb) owner to moat_definer;
alter function app.tell_place_gone() owner to moat_definer;
alter function app.tell_desk_closed() owner to moat_definer;
grant execute on function app.ends_hearing(text) to moat_definer;
grant execute on function app.read_feed(bigint, int) to service;
grant execute on function app.my_cursor(boolean), app.my_feed(boolean, bigint, bigint, int) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
