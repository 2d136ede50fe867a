-- Why: leaving. Closing archives: nobody gets in, nothing is lost, and whoever runs the server can set status back to
-- 'active'. Erasing takes the names off at once and leaves the rows to a job, since years of chats can take longer than a
-- request may.
alter table app.users add column erased_at timestamptz;
create policy delete_definer on app.users for delete to moat_definer using (true);
grant select (erased_at), update (display_name, status, tokens_valid_from, erased_at), delete on app.users to moat_definer;
create index users_erased on app.users (erased_at) where erased_at is not null;
comment on column app.users.erased_at is 'asked to be erased: a job deletes the row, and all that is private goes with it';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- p_old as in app.change_password. The trigger on users tells the feed, which ends the account's streams.
create function app.close_account(p_old text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  if (select c.password_phc from app.credentials c where c.user_id = me) is distinct from p_old then return false; end if;
  update app.sessions s set revoked_at = now() where s.user_id = me and s.revoked_at is null;
  perform app.spend_tokens_of(me);
  update app.users u set status = 'archived', tokens_valid_from = now() where u.id = me;
  return true;
end $$;

create function app.erase_account(p_old text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  if not app.close_account(p_old) then return false; end if;
  update app.users u set email = null, phone = null, display_name = '', erased_at = now() where u.id = me;
  return true;
end $$;

-- Deletes one account that is to be erased; what belongs to it follows by its foreign keys. False: there was none.
create function app.erase_next() returns boolean
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
  delete from app.feed f where f.user_id = who;
  delete from app.outbox o where o.user_id = who;
  -- Told again, since the line above may have taken it before every process had heard it.
  perform app.tell(who, 'user.closed', '{}');
  return true;
end $$;

alter function app.close_account(text) owner to moat_definer;
alter function app.erase_account(text) owner to moat_definer;
alter function app.erase_next() owner to moat_definer;
grant execute on function app.erase_next() to service;
grant execute on function app.close_account(text), app.erase_account(text) to authenticated;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
