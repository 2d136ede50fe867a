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
let fresh = Date.now(); // when what is shown was last known to be all that there is
let missed = 0; // answers and messages that came after the page had not been up to date
let caught = 0; // until when that is said
const SILENCE = 40000; // longer than the server is ever silent

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
    if (since.dataset.late || Date.now() < caught) {
      if (/"kind":"(message\.posted|answer\.ended)"/.test(json)) missed += 1;
      own();
    }
    if (recent.length > KEEP) floor = recent.shift().pos;
  }
  for (const { tell } of [...listeners.values()]) tell(json);
  return true;
}

const STATES = {
  live: ["Live", "Live: changes show here as they happen"],
  polling: ["Up to date every few seconds", "Changes show here every few seconds: something between this browser and the server holds back what comes at once"],
  connecting: ["Not connected", "Not connected: changes will show when the server answers again"],
};

function show(next) {
  state = next;
  if (next !== "connecting") fresh = Date.now();
  document.documentElement.dataset.live = next;
  for (const mark of document.querySelectorAll(".live-mark")) [mark.ariaLabel, mark.title] = STATES[next];
  own();
}

// What may be old says since when; and once it is not any more, how much of it is new.
const since = Object.assign(document.createElement("p"), { className: "since", role: "status", hidden: true });
function own() {
  // A leader that is frozen tells the others nothing.
  if (state !== "connecting" && !document.hidden && Date.now() - fresh > 60000) return show("connecting");
  const late = state === "connecting" && !document.hidden && Date.now() - fresh > 10000;
  if (late) [missed, caught] = [0, 0];
  else if (state !== "connecting" && since.dataset.late) caught = Date.now() + 8000;
  since.dataset.late = late ? "yes" : "";
  const back = Date.now() < caught && `Caught up${missed ? `, ${missed} new` : ""}`;
  const words = late ? `Not up to date since ${new Date(fresh).toTimeString().slice(0, 5)}. Trying again.` : back || "";
  if (since.textContent !== words) since.textContent = words;
  since.hidden = !words;
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
    let quiet = null;
    let poll = null;
    let wait = 500;
    const be = (next) => {
      show(next);
      say({ state: next });
    };
    const take = (pos, json) => {
      const resync = json.includes('"kind":"resync"');
      const prev = last;
      hear(prev, pos, json, resync);
      say({ prev, pos, json, resync });
    };
    // It is heard: no earlier, or a page would be called live through which nothing comes.
    const alive = () => {
      wait = 500;
      be("live");
      clearTimeout(poll);
      poll = null;
      clearTimeout(quiet);
      quiet = setTimeout(again, SILENCE);
    };
    const lost = () => {
      if (state === "live") be("connecting");
      poll ??= setTimeout(look, 5000);
    };
    const again = () => {
      lost();
      open();
    };
    // Where no stream comes through, all that there is by now, which does.
    const look = async () => {
      try {
        const answer = await fetch(`/live?after=${last}&once=true`, { cache: "no-store", signal: AbortSignal.timeout(10000) });
        if (answer.status === 401) leaveIfSignedOut();
        if (!answer.ok) throw new Error(answer.status);
        const text = await answer.text();
        if (!poll) return;
        for (const event of text.split("\n\n")) {
          const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
          if (field("id")) take(Number(field("id")), field("data"));
        }
        be("polling");
      } catch {
        if (poll) be("connecting");
      }
      if (!poll) return;
      clearTimeout(poll);
      poll = setTimeout(look, 5000);
    };
    const open = () => {
      clearTimeout(timer);
      source?.close();
      const mine = (source = new EventSource(`/live?after=${last}`));
      source.addEventListener("alive", alive);
      source.onmessage = (message) => {
        alive();
        take(Number(message.lastEventId), message.data);
      };
      source.onerror = () => {
        if (mine !== source) return;
        lost();
        // The browser tries again by itself unless the answer was a refusal; then we do, more and more slowly.
        if (source.readyState === EventSource.CLOSED) {
          timer = setTimeout(open, wait);
          wait = Math.min(wait * 2, 30000);
          leaveIfSignedOut();
        }
      };
      clearTimeout(quiet);
      quiet = setTimeout(again, SILENCE);
      poll ??= setTimeout(look, 8000);
    };
    open();
    release = () => {
      clearTimeout(timer);
      clearTimeout(quiet);
      clearTimeout(poll);
      poll = null;
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
  document.body.append(since);
  setInterval(own, 5000);
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
