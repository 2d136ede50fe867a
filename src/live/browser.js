// One event stream for all tabs of a browser: over HTTP/1.1 a browser opens six connections to a host, and a seventh tab
// with a stream of its own would hang every request. The tabs elect a leader by a lock; it holds the stream and passes
// events on. Hidden tabs let go, so that the leader is a tab that somebody looks at.

const KEEP = 3000; // events that can be told again to a view that opens later
let started = false;
let recent = []; // {pos, json}, oldest first
let last = 0; // the place up to which this tab has heard
let floor = 0; // events up to here are not in `recent`
let stale = -1; // views that show nothing newer than this are read anew
let listeners = new Map();
let nextId = 1;
let release = null;
let channel = null;
let lockName = "";
let state = "connecting";

// `prev` is the place that was told before this one: whoever has not heard that asks again instead of going on with a hole.
function hear(prev, pos, json, resync) {
  if (!resync && pos <= last) return true;
  if (!resync && prev > last) return false;
  // A resync may go back: a database that was restored counts anew from an earlier place.
  last = pos;
  if (resync) {
    recent = [];
    floor = last;
  } else {
    recent.push({ prev, pos, json });
    if (recent.length > KEEP) floor = recent.shift().pos;
  }
  for (const { tell } of [...listeners.values()]) tell(json);
  return true;
}

function show(next) {
  state = next;
  document.documentElement.dataset.live = next;
  for (const mark of document.querySelectorAll(".live-mark")) {
    mark.ariaLabel = next === "live" ? "Live" : "Not connected";
    mark.title = next === "live" ? "Live: changes show here as they happen" : "Not connected: changes will show when the server answers again";
  }
}

// Without locks every tab has a stream of its own, and tells nobody.
function say(message) {
  if (navigator.locks) channel.postMessage(message);
}

// A refused stream may mean that the session has ended, here or elsewhere: then nothing private stays on the screen of any
// window. What was typed and not sent waits in the storage for whoever signs in again.
async function leaveIfSignedOut() {
  const answer = await fetch("/api/moat/accounts/server_fns/whoami", { method: "POST" }).catch(() => null);
  if (answer?.status !== 401 && (!answer?.ok || (await answer.text()) !== "null")) return;
  say({ ended: true });
  location.reload();
}

function lead() {
  return new Promise((done) => {
    let source = null;
    let timer = null;
    let wait = 500;
    const open = () => {
      source = new EventSource(`/live?after=${last}`);
      source.onopen = () => {
        wait = 500;
        show("live");
        say({ state: "live" });
      };
      source.onmessage = (message) => {
        const resync = message.data.includes('"kind":"resync"');
        const pos = Number(message.lastEventId);
        const prev = last;
        hear(prev, pos, message.data, resync);
        say({ prev, pos, json: message.data, resync });
      };
      source.onerror = () => {
        show("connecting");
        say({ state: "connecting" });
        // The browser tries again by itself unless the answer was a refusal; then we do, more and more slowly.
        if (source.readyState === EventSource.CLOSED) {
          timer = setTimeout(open, wait);
          wait = Math.min(wait * 2, 30000);
          leaveIfSignedOut();
        }
      };
    };
    open();
    release = () => {
      clearTimeout(timer);
      source.close();
      release = null;
      done();
    };
  });
}

function ask() {
  if (release || document.hidden) return;
  // Plain http on another machine has no locks: each tab then has a stream of its own.
  if (!navigator.locks) lead();
  else navigator.locks.request(lockName, () => (document.hidden ? undefined : lead()));
}

export function start(name, after) {
  if (started) {
    // Somebody else has signed in since this page was loaded: nothing of the one before may stay.
    if (lockName !== `moat-live-${name}`) location.reload();
    return;
  }
  started = true;
  last = after;
  floor = after;
  lockName = `moat-live-${name}`;
  // The server tells times in the zone that it finds here. One that was chosen is HttpOnly: a script does not write over it.
  const known = document.cookie;
  document.cookie = `moat-tz=${Intl.DateTimeFormat().resolvedOptions().timeZone};path=/;max-age=31536000;samesite=lax`;
  // What is on screen is in another zone's time, or in UTC.
  if (known !== document.cookie && new Date().getTimezoneOffset()) stale = after;
  channel = new BroadcastChannel(lockName);
  channel.onmessage = ({ data }) => {
    if (data.want !== undefined) {
      // Somebody opened with an older page: the leader tells again what it remembers.
      if (!release) return;
      say({ state });
      if (data.want < floor) say({ prev: 0, pos: last, json: JSON.stringify({ pos: last, event: { kind: "resync" } }), resync: true });
      else for (const event of recent) if (event.pos > data.want) say({ ...event, resync: false });
    } else if (data.ended) location.reload();
    else if (data.state) show(data.state);
    else if (!release && !hear(data.prev, data.pos, data.json, data.resync)) say({ want: last });
  };
  show("connecting");
  say({ want: last });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) release?.();
    else {
      say({ want: last });
      ask();
    }
  });
  ask();
}

// Tells `tell` every event after `after`, those that came before this call included. A negative id: what it
// missed is too long ago, read anew.
export function subscribe(after, tell) {
  const id = nextId++;
  listeners.set(id, { tell });
  if (after < floor || after <= stale) return -id;
  for (const { pos, json } of recent) if (pos > after) tell(json);
  return id;
}

export function unsubscribe(id) {
  listeners.delete(Math.abs(id));
}
