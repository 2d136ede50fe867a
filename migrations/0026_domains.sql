-- Why: joining by an e-mail address. An owner names a domain and shows by a DNS record that it is theirs; whoever has a confirmed
-- address there may join the workspace then, as a plain member. Who signs up where domains decide, and has no such address, waits.
create table app.workspace_domains (
  id uuid not null default gen_random_uuid(),
  workspace_id uuid not null default app.member_org() references app.workspaces on delete cascade,
  domain text not null,
  -- What the record says. Made here, so that nobody's record proves somebody else's row.
  token text not null default replace(gen_random_uuid()::text, '-', ''),
  added_by uuid default auth.uid(),
  created_at timestamptz not null default now(),
  verified_at timestamptz,
  -- When DNS answered last, and since when it answers that there is no such record.
  checked_at timestamptz,
  failing_since timestamptz,
  due_at timestamptz not null default now(),
  -- The domain while it is proven: an event of the trail that names it, and one workspace for each.
  proven text generated always as (case when verified_at is not null then domain end) stored,
  primary key (id, workspace_id),
  constraint workspace_domains_once unique (workspace_id, domain),
  constraint workspace_domains_proven_once unique (proven),
  foreign key (workspace_id, added_by) references app.workspace_members (workspace_id, user_id) on delete set null (added_by),
  constraint workspace_domains_form check (length(domain) <= 247 and domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')
);
comment on column app.workspace_domains.due_at is 'when a job asks DNS again';
create index workspace_domains_of_adder on app.workspace_domains (workspace_id, added_by) where added_by is not null;
create index workspace_domains_due on app.workspace_domains (due_at) where verified_at is not null;

alter table app.workspace_domains enable row level security;
alter table app.workspace_domains force row level security;
create policy select_manager on app.workspace_domains for select to authenticated using (workspace_id = (select app.managed_org()));
create policy insert_manager on app.workspace_domains for insert to authenticated with check (workspace_id = (select app.managed_org()));
create policy delete_manager on app.workspace_domains for delete to authenticated using (workspace_id = (select app.managed_org()));
create policy select_definer on app.workspace_domains for select to moat_definer using (true);
create policy update_definer on app.workspace_domains for update to moat_definer using (true);
grant select (id, workspace_id, domain, token, added_by, created_at, verified_at, checked_at, failing_since), insert (domain), delete
  on app.workspace_domains to authenticated;
grant select, update (verified_at, checked_at, failing_since, due_at) on app.workspace_domains to moat_definer;
-- Not granted: update. What DNS says is written by app.domain_checked alone, for whoever asked it.
comment on table app.workspace_domains is 'workspace; refused: update';

grant moat_definer to current_user;
grant usage, create on schema app to moat_definer;
grant usage, create on schema gate to moat_definer;

-- One more reason: what DNS says of a domain.
create or replace function gate.open_service(p_reason text, p_user uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_reason in ('sign_in', 'live', 'sweep', 'mail', 'operate', 'denials', 'domains') and p_user is null then return 'service'; end if;
  if p_reason = 'generation' and exists (select from app.users u where u.id = p_user and u.status = 'active') then
    return 'service';
  end if;
  return 'none';
end $$;

-- Domains that are nobody's own: where anybody gets an address, and below which anybody gets a domain. The server knows more of
-- the second kind; these are kept out whoever asks.
create function app.is_shared_domain(p_domain text) returns boolean
language plpgsql immutable security definer set search_path = '' as $$
begin
  return p_domain = any (array[
      'gmail.com', 'googlemail.com', 'icloud.com', 'me.com', 'mac.com', 'aol.com', 'aim.com', 'msn.com', 'passport.com', 'ymail.com',
      'rocketmail.com', 'web.de', 'freenet.de', 't-online.de', 'arcor.de', 'mail.de', 'posteo.de', 'posteo.net', 'mailbox.org', 'proton.me',
      'protonmail.com', 'protonmail.ch', 'pm.me', 'tutanota.com', 'tutanota.de', 'tuta.com', 'tuta.io', 'tutamail.com', 'keemail.me',
      'fastmail.com', 'fastmail.fm', 'hey.com', 'duck.com', 'zoho.com', 'zohomail.com', 'zohomail.eu', 'mail.com', 'email.com', 'usa.com',
      'inbox.com', 'hushmail.com', 'runbox.com', 'disroot.org', 'riseup.net', 'mail.ru', 'bk.ru', 'inbox.ru', 'list.ru', 'internet.ru',
      'rambler.ru', 'ya.ru', 'ukr.net', 'i.ua', 'wp.pl', 'o2.pl', 'onet.pl', 'interia.pl', 'seznam.cz', 'centrum.cz', 'abv.bg', 'qq.com',
      'foxmail.com', '163.com', '126.com', 'yeah.net', 'sina.com', 'sina.cn', 'sohu.com', 'aliyun.com', '139.com', '189.cn', 'naver.com',
      'hanmail.net', 'daum.net', 'nate.com', 'docomo.ne.jp', 'ezweb.ne.jp', 'softbank.ne.jp', 'rediffmail.com', 'orange.fr', 'wanadoo.fr',
      'free.fr', 'laposte.net', 'sfr.fr', 'neuf.fr', 'bbox.fr', 'libero.it', 'virgilio.it', 'alice.it', 'tiscali.it', 'tin.it', 'bluewin.ch',
      'telenet.be', 'skynet.be', 'ziggo.nl', 'kpnmail.nl', 'xs4all.nl', 'planet.nl', 'home.nl', 'btinternet.com', 'virginmedia.com', 'sky.com',
      'talktalk.net', 'ntlworld.com', 'comcast.net', 'verizon.net', 'att.net', 'sbcglobal.net', 'bellsouth.net', 'cox.net', 'charter.net',
      'earthlink.net', 'optonline.net', 'rogers.com', 'shaw.ca', 'sympatico.ca', 'telus.net', 'bigpond.com', 'optusnet.com.au', 'xtra.co.nz',
      'uol.com.br', 'bol.com.br', 'terra.com.br', 'ig.com.br', 'mailinator.com', 'guerrillamail.com', '10minutemail.com', 'yopmail.com',
      'users.noreply.github.com'])
    or p_domain ~ '^(hotmail|outlook|live|windowslive|yahoo|gmx|yandex|aol)\.([a-z]{2,3}|com?\.[a-z]{2})$'
    or p_domain ~ '^(ac|co|com|edu|gob|gov|gouv|mil|net|org)\.[a-z]{2}$';
end $$;

-- What no policy can say: domains are for owners to add and remove. Nobody joins somebody's own workspace.
create function app.guard_domain() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
declare
  org uuid := case when tg_op = 'DELETE' then old.workspace_id else new.workspace_id end;
begin
  if pg_trigger_depth() = 1 and nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' = 'authenticated'
    and not exists (select from app.workspace_members m where m.workspace_id = org and m.user_id = auth.uid() and m.role = 'owner') then
    raise exception using errcode = 'P0431', message = 'for owners';
  end if;
  if tg_op = 'DELETE' then return null; end if;
  -- One after the other, or the count below were a guess.
  perform from app.workspaces w where w.id = org and w.personal_of is null for no key update;
  if not found then raise exception using errcode = 'P0433', message = 'a personal workspace'; end if;
  if app.is_shared_domain(new.domain) then raise exception using errcode = 'P0434', message = 'a domain of everybody'; end if;
  if (select count(*) from app.workspace_domains d where d.workspace_id = org) > 20 then
    raise exception using errcode = 'P0435', message = 'too many domains';
  end if;
  return null;
end $$;
create trigger guard_domain after insert or delete on app.workspace_domains for each row execute function app.guard_domain();
create trigger audit after insert or delete or update of verified_at on app.workspace_domains
  for each row execute function app.audit_row('domain', 'domain proven', 'token');

-- A workspace that is deleted keeps its domains from nobody; taken back, it proves them again.
create function app.free_domains() returns trigger
language plpgsql volatile security definer set search_path = '' as $$
begin
  update app.workspace_domains d set verified_at = null, failing_since = null where d.workspace_id = new.id and d.verified_at is not null;
  return null;
end $$;
create trigger free_domains after update of deleted_at on app.workspaces for each row
  when (new.deleted_at is not null and old.deleted_at is null) execute function app.free_domains();

-- One that a job is to ask DNS for. Taking it moves due_at on, so that a server that dies leaves it to the next one.
create function app.take_domain(out id uuid, out domain text, out token text)
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('domains');
  update app.workspace_domains d set due_at = clock_timestamp() + interval '1 hour'
   where d.verified_at is not null and d.id = (select x.id from app.workspace_domains x
      where x.verified_at is not null and x.due_at <= clock_timestamp() order by x.due_at limit 1 for update skip locked)
   returning d.id, d.domain, d.token into id, domain, token;
end $$;

-- What DNS answered: the record with this token is there, or not. That it gave no answer is told to nobody here. 'proven',
-- 'missing' (and, of a proof that has been missing for 7 days on end, 'lost'), 'taken' by another workspace, 'gone'.
create function app.domain_checked(p_id uuid, p_token text, p_found boolean) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  d app.workspace_domains;
begin
  perform app.require_reason('domains');
  select x.* into d from app.workspace_domains x join app.workspaces w on w.id = x.workspace_id and w.deleted_at is null
   where x.id = p_id and x.token = p_token for update of x;
  if not found then return 'gone'; end if;
  if not p_found then
    update app.workspace_domains x
       set checked_at = now(), due_at = now() + interval '1 day',
           verified_at = case when d.failing_since <= now() - interval '7 days' then null else d.verified_at end,
           failing_since = case when d.verified_at is not null and (d.failing_since is null or d.failing_since > now() - interval '7 days')
                                then coalesce(d.failing_since, now()) end
     where x.id = d.id and x.workspace_id = d.workspace_id;
    return case when d.failing_since <= now() - interval '7 days' then 'lost' else 'missing' end;
  end if;
  begin
    update app.workspace_domains x
       set checked_at = now(), due_at = now() + interval '1 day', failing_since = null, verified_at = coalesce(d.verified_at, now())
     where x.id = d.id and x.workspace_id = d.workspace_id;
  exception when unique_violation then
    return 'taken';
  end;
  return 'proven';
end $$;

-- What stands behind the last @ of an address.
create function app.domain_of(p_email text) returns text
language plpgsql immutable security definer set search_path = '' as $$
begin
  return lower(substring(p_email from '@([^@]+)$'));
end $$;

-- The proven domain that somebody's address is at, if the address is confirmed and the workspace is there. Locked until the
-- transaction ends: an address that changes meanwhile, and a proof that ends, come before or after.
create function app.domain_for(p_user uuid) returns app.workspace_domains
language plpgsql volatile security definer set search_path = '' as $$
declare
  mine text;
  d app.workspace_domains;
begin
  select app.domain_of(u.email) into mine from app.users u
   where u.id = p_user and u.email_verified_at is not null and u.status in ('active', 'waitlist') for no key update;
  select x.* into d from app.workspace_domains x join app.workspaces w on w.id = x.workspace_id and w.deleted_at is null
   where x.proven = mine for share of x, w;
  return d;
end $$;

-- In goes somebody by their address, as what a plain member is; whoever is in already stays what they are.
create function app.enter_by_domain(p_user uuid, p_org uuid) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
begin
  insert into app.workspace_members (workspace_id, user_id, role) values (p_org, p_user, 'project_creator')
    on conflict (workspace_id, user_id) do nothing;
  return (select m.id from app.workspace_members m where m.workspace_id = p_org and m.user_id = p_user);
end $$;

-- The workspace that the caller's address would let them into.
create function app.my_offers() returns table (id uuid, workspace text, domain text)
language plpgsql stable security definer set search_path = '' as $$
declare
  me uuid := auth.uid();
begin
  return query select d.id, w.name, d.domain from app.users u
    join app.workspace_domains d on d.proven = app.domain_of(u.email)
    join app.workspaces w on w.id = d.workspace_id and w.deleted_at is null
   where u.id = me and u.email_verified_at is not null
     and not exists (select from app.workspace_members m where m.workspace_id = d.workspace_id and m.user_id = me);
end $$;

-- Takes such an offer; gives the place. NULL as the id: whichever there is, and no error where there is none.
create function app.join_by_domain(p_id uuid) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
  d app.workspace_domains := app.domain_for(auth.uid());
begin
  if d.id is null or d.id <> p_id then
    if p_id is null then return null; end if;
    raise exception using errcode = 'P0404', message = 'no such domain';
  end if;
  return app.enter_by_domain(auth.uid(), d.workspace_id);
end $$;

-- Whether somebody who has shown who they are gets in. p_domains is NULL where domains do not decide: then their status does.
-- Where they do: an account that was made in this transaction, or waits, gets in by an address at a proven domain, which also
-- makes it a member, or at one of p_domains. Others wait. p_vouched: an outside issuer says that the address is theirs.
create function app.admit(p_user uuid, p_domains text[], p_vouched boolean) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
declare
  u app.users;
  d app.workspace_domains;
  welcome boolean;
begin
  perform app.require_reason('sign_in');
  select x.id, x.email, x.status, x.email_verified_at, x.created_at into u.id, u.email, u.status, u.email_verified_at, u.created_at
    from app.users x where x.id = p_user for no key update;
  if p_domains is null or not (u.status = 'waitlist' or (u.status = 'active' and u.created_at = now())) then
    return coalesce(u.status = 'active', false);
  end if;
  d := app.domain_for(p_user);
  welcome := d.id is not null
    or coalesce((p_vouched or u.email_verified_at is not null) and app.domain_of(u.email) = any (p_domains), false);
  update app.users x set status = case when welcome then 'active' else 'waitlist' end where x.id = p_user;
  if d.id is not null then perform app.enter_by_domain(p_user, d.workspace_id); end if;
  return welcome;
end $$;

-- Whoever waits and comes with the link of an invitation for their address need not wait.
create function app.admit_invited(p_user uuid, p_hash bytea) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  perform app.require_reason('sign_in');
  update app.users u set status = 'active' where u.id = p_user and u.status = 'waitlist'
     and exists (select from app.invitations i where i.token_hash = p_hash and i.email = u.email and i.accepted_at is null
                   and i.expires_at > now() and app.invitation_stands(i.workspace_id, i.invited_by, i.role));
  return found;
end $$;

-- As before, but that whoever waits is told so, and may show that their address is theirs.
create or replace function app.prepare_account_mail(p_id uuid, p_hash bytea) returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
  o app.outgoing;
  holder uuid;
  state text;
  unproven boolean;
  lives interval;
begin
  perform app.require_reason('mail');
  select x.* into o from app.outgoing x where x.id = p_id;
  if not found then return 'nothing'; end if;
  if o.kind in ('changed', 'password') then return o.kind; end if;
  select u.id, u.status, u.email_verified_at is null into holder, state, unproven from app.users u where u.email = o.address;
  if o.kind = 'sign-up' then
    if holder is null then
      insert into app.mail_tokens (hash, purpose, address, phc, expires_at)
        values (p_hash, 'sign-up', o.address, o.phc, now() + interval '1 day');
      return 'sign-up';
    end if;
    return case state when 'active' then 'exists' when 'waitlist' then 'waiting' else 'closed' end;
  end if;
  if o.kind in ('reset', 'magic') then
    if holder is null then return 'nothing'; end if;
    if state not in ('active', 'waitlist') then return 'closed'; end if;
    lives := case o.kind when 'reset' then interval '1 hour' else interval '15 minutes' end;
    insert into app.mail_tokens (hash, purpose, user_id, address, expires_at) values (p_hash, o.kind, holder, o.address, now() + lives);
    return o.kind || case when unproven then '-first' else '' end;
  end if;
  if not exists (select from app.users u where u.id = o.user_id and u.status = 'active') then return 'nothing'; end if;
  if o.kind = 'confirm' and holder is distinct from o.user_id then return 'nothing'; end if;
  if o.kind = 'change' and holder is not null then return case when holder = o.user_id then 'nothing' else 'taken' end; end if;
  insert into app.mail_tokens (hash, purpose, user_id, address, expires_at)
    values (p_hash, o.kind, o.user_id, o.address, now() + interval '1 day');
  return o.kind;
end $$;

-- As before, for those who wait as well: app.admit then says whether they get in.
create or replace function app.finish_magic(p_hash bytea, out user_id uuid, out first boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['magic']);
  select u.id, u.email_verified_at is null into user_id, first
    from app.users u where u.id = t.user_id and u.email = t.address and u.status in ('active', 'waitlist') for update;
  if first then perform app.leave_mailbox_alone(finish_magic.user_id); end if;
end $$;

create or replace function app.finish_reset(p_hash bytea, p_phc text, out user_id uuid, out first boolean)
language plpgsql volatile security definer set search_path = '' as $$
declare
  t record;
begin
  perform app.require_reason('sign_in');
  t := app.spend_token(p_hash, array['reset']);
  select u.id, u.email_verified_at is null into user_id, first
    from app.users u where u.id = t.user_id and u.email = t.address and u.status in ('active', 'waitlist') for update;
  if finish_reset.user_id is null then return; end if;
  if first then perform app.leave_mailbox_alone(finish_reset.user_id); end if;
  insert into app.credentials as c (user_id, password_phc) values (finish_reset.user_id, p_phc)
    on conflict on constraint credentials_pkey do update set password_phc = excluded.password_phc, changed_at = now();
  update app.sessions s set revoked_at = now() where s.user_id = finish_reset.user_id and s.revoked_at is null;
  perform app.spend_tokens_of(finish_reset.user_id);
  insert into app.outgoing (kind, address, user_id) values ('password', t.address, finish_reset.user_id);
end $$;

do $$
declare
  f text;
begin
  foreach f in array array['is_shared_domain(text)', 'guard_domain()', 'free_domains()', 'take_domain()', 'domain_checked(uuid, text, boolean)',
      'domain_of(text)', 'domain_for(uuid)', 'enter_by_domain(uuid, uuid)', 'my_offers()', 'join_by_domain(uuid)', 'admit(uuid, text[], boolean)',
      'admit_invited(uuid, bytea)'] loop
    execute format('alter function app.%s owner to moat_definer', f);
  end loop;
end $$;
grant execute on function app.take_domain(), app.domain_checked(uuid, text, boolean), app.admit(uuid, text[], boolean),
  app.admit_invited(uuid, bytea) to service;
grant execute on function app.my_offers(), app.join_by_domain(uuid) to authenticated;
revoke create on schema app from moat_definer;
revoke create on schema gate from moat_definer;
revoke moat_definer from current_user;
