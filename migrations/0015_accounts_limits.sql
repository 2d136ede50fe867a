-- Why: limits that bind whoever guesses and nobody else, codes to linked numbers alone, and an end for old sessions.
create policy delete_definer on app.sessions for delete to moat_definer using (true);
grant delete on app.sessions to moat_definer;
-- least() passes over NULL: a session that was not revoked has its end alone.
create index sessions_over on app.sessions (least(expires_at, revoked_at));

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;

-- Gives back what app.take_token took, where it was no guess.
create function app.give_token(p_key text, p_every interval) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  update app.rate_limits r set free_at = r.free_at - p_every where r.key = p_key;
end $$;

-- Whether the holder of an address has had a session from this place: an address on the network, or a network.
create function app.signed_in_from(p_email text, p_place text) returns boolean
language plpgsql stable security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  return exists (select from app.users u join app.sessions s on s.user_id = u.id
                  where u.email = p_email and nullif(s.ip, '')::inet <<= nullif(p_place, '')::inet);
end $$;

-- Spent tokens are kept for as long as a session may live without use: until then a replay has to end the session. A session
-- that is over is kept for a month, in which its tokens still tell of a thief; they go with it.
create or replace function app.sweep_accounts() returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sweep');
  delete from app.sessions s where least(s.expires_at, s.revoked_at) < now() - interval '30 days';
  delete from app.refresh_tokens r where r.used_at < now() - interval '31 days';
  delete from app.rate_limits r where r.free_at < now() - interval '1 day';
end $$;

-- No number makes an account any more, so a code goes to linked numbers alone: anybody could have had texts sent to anybody.
-- The row is made all the same, with a code that nobody is told, so that a wrong code gets the same answer in the same time.
drop function app.prepare_code(uuid, bytea, boolean);
create function app.prepare_code(p_id uuid, p_hash bytea) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id and x.kind = 'code';
  if not found then return false; end if;
  -- A second try at sending makes a new code; the tries that were used up stay so.
  insert into app.codes as c (id, phone, user_id, hash) values (o.id, o.address, o.user_id, p_hash)
    on conflict (id) do update set hash = excluded.hash, expires_at = excluded.expires_at;
  return o.user_id is not null or exists (select from app.users u where u.phone = o.address and u.status = 'active');
end $$;

-- The user of a number that was proven. NULL: the code is wrong or over, or nobody may come in by it.
drop function app.finish_code(uuid, bytea, boolean);
create function app.finish_code(p_id uuid, p_hash bytea) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  number text;
  who uuid;
begin
  perform app.require_reason('sign_in');
  number := app.try_code(p_id, null, p_hash);
  if number is null then return null; end if;
  -- Held until the session stands: whoever takes the number off meanwhile ends that as well.
  select u.id into who from app.users u where u.phone = number and u.status = 'active' for key share;
  return who;
end $$;

alter function app.give_token(text, interval) owner to moat_definer;
alter function app.signed_in_from(text, text) owner to moat_definer;
alter function app.prepare_code(uuid, bytea) owner to moat_definer;
alter function app.finish_code(uuid, bytea) owner to moat_definer;
grant execute on function app.give_token(text, interval), app.signed_in_from(text, text), app.prepare_code(uuid, bytea),
  app.finish_code(uuid, bytea) to service;
revoke create on schema app from moat_definer;
revoke moat_definer from current_user;
