// A page that is kept up to date: the staff's desk, the customer's frame, the members of a workspace. The server renders the page; this
// sends its forms in place, listens whether something has happened, and then reads the page anew and takes over what differs. So
// what is shown is always a page that the server has made, never a guess of what events add up to.

const PLACE = "[data-place][data-pos]";
const desk = document.querySelector(PLACE); // a page of a workspace, of the desk or not
const visit = document.querySelector("main.visit");
const lines = () => document.getElementById("lines");
const log = document.getElementById("log"); // what scrolls
const composer = document.getElementById("composer");

// The visitor's token, in the storage that this browser keeps for this frame on this site alone. A browser that gives frames of
// others none has cookies of that kind all the same. They are a place to keep it in, and no more: the server reads a header.
const slot = visit && `moat-visitor-${visit.dataset.widget}`;
let held = null; // where there is neither, for as long as the page lives
const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return cookie(name) || null;
  }
}
function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    document.cookie = `${name}=${value ?? ""};path=/widget;secure;samesite=none;partitioned;max-age=${value === null ? 0 : 31536000}`;
  }
}
const token = () => stored(slot) ?? held;
function keep(fresh) {
  held = fresh;
  store(slot, fresh);
}
function headers(more) {
  const all = { ...more, "x-moat-zone": Intl.DateTimeFormat().resolvedOptions().timeZone };
  if (visit && token()) all.authorization = `Bearer ${token()}`;
  if (desk) all["x-moat-place"] = desk.dataset.place;
  return all;
}

// crypto.randomUUID is missing on plain http.
function uuid() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// Takes over a region of a page that was read anew. Lines that are the same stay the elements that they are: focus, selection and
// what is read aloud stay with them.
const served = new WeakMap(); // a region: the server's words for it
const opened = new WeakMap(); // a part that opens: whether the server had it open
for (const details of document.querySelectorAll("details")) opened.set(details, details.open);

// Nothing goes from under a finger: what is pressed is there when it is let go.
let pressed = null;
let waits = false;
document.addEventListener("pointerdown", ({ target }) => (pressed = target), { capture: true });
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => setTimeout(() => ((pressed = null), waits && ((waits = false), soon()))), { capture: true });
}

const edited = (field) => (field.options ? [...field.options].some((option) => option.selected !== option.defaultSelected) : field.value !== field.defaultValue);

function take(old, fresh) {
  if (pressed && old.contains(pressed)) return void (waits = true);
  for (const name of ["data-seen", "data-waiting", "data-owed", "data-new"]) if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
  const html = fresh.innerHTML;
  const keyed = (node) => node.children.length > 0 && [...node.children].every((child) => child.id);
  if (keyed(fresh) && (keyed(old) || !old.children.length)) {
    served.set(old, html);
    const known = new Map([...old.children].map((child) => [child.id, child]));
    let at = null;
    for (const child of [...fresh.children]) {
      let mine = known.get(child.id);
      if (!mine) mine = child;
      else if (mine.outerHTML !== child.outerHTML) {
        mine.replaceWith(child);
        mine = child;
      }
      known.delete(child.id);
      // What is still under way here may have been stored and read already.
      if (child.dataset.client) document.getElementById(`under-way-${child.dataset.client}`)?.remove();
      if ((at ? at.nextElementSibling : old.firstElementChild) !== mine) at ? at.after(mine) : old.prepend(mine);
      at = mine;
    }
    for (const gone of known.values()) if (!gone.hasAttribute("data-under-way")) gone.remove();
    return;
  }
  // What could not be done when the list was another one.
  const problem = old.id === "queue" && served.has(old) && served.get(old) !== html && document.querySelector(".queue > form > .problem");
  if (problem && Date.now() - problem.dataset.at > 5000) problem.remove();
  // What the server has said before, and not what the reader has made of it since: an opened part is no change.
  if ((served.get(old) ?? old.innerHTML) === html) return;
  // Nobody is interrupted in a word: what they write in is read anew when they leave it.
  if (old.contains(document.activeElement) && document.activeElement.matches("input:not([type=checkbox]), select, textarea") && edited(document.activeElement)) {
    document.activeElement.addEventListener("blur", soon, { once: true });
    return;
  }
  // What is ticked stays so, and names what was on screen when it was.
  const ticks = [...old.querySelectorAll("li input[type=checkbox]:checked")].map((tick) => [tick.closest("li").id, tick.value]);
  const ticking = old.contains(document.activeElement) && document.activeElement.matches("li input[type=checkbox]") && document.activeElement.closest("li").id;
  const boxes = [...old.querySelectorAll("input[type=checkbox]")].filter((box) => !box.closest("li") && box.checked !== box.defaultChecked).map((box) => [box.name, box.checked]);
  const called = (one) => one.dataset.key ?? one.ariaLabel ?? one.getAttribute("href") ?? (one.name && one.matches("input, select, textarea") ? one.name : one.textContent);
  const focus = !ticking && old.contains(document.activeElement) && called(document.activeElement);
  const turned = [...old.querySelectorAll("details")].filter((details) => details.open !== opened.get(details));
  const open = new Map(turned.map((details) => [called(details.firstElementChild), details.open]));
  const scrolled = old.querySelector(".beside-body")?.scrollTop;
  if (old.id === "queue" && aimed) moved = { ...aimed, at: performance.now() };
  // What was changed here and not sent stays; what was not shows what it is by now.
  const chosen = [...old.querySelectorAll("select, input:not([type=hidden])")].filter(edited).map((field) => [field.name, field.ariaLabel, field.value]);
  old.innerHTML = html;
  served.set(old, html);
  for (const [name, label, value] of chosen) {
    const field = [...old.querySelectorAll(`[name="${name}"]:not([type=hidden])`)].find((one) => one.ariaLabel === label);
    if (field && (!field.options || [...field.options].some((option) => option.value === value))) field.value = value;
  }
  for (const [line, value] of ticks) {
    const tick = document.getElementById(line)?.querySelector("input[type=checkbox]");
    if (tick) [tick.checked, tick.value] = [true, value];
  }
  for (const [name, checked] of boxes) {
    const box = old.querySelector(`input[type=checkbox][name="${name}"]`);
    if (box) box.checked = checked;
  }
  if (ticking) (document.getElementById(ticking)?.querySelector("input[type=checkbox]") ?? log)?.focus();
  for (const details of old.querySelectorAll("details")) {
    opened.set(details, details.open);
    details.open = open.get(called(details.firstElementChild)) ?? details.open;
  }
  if (scrolled) old.querySelector(".beside-body")?.scrollTo(0, scrolled);
  if (focus) {
    const again = [...old.querySelectorAll("a, button, summary, select, input")].find((one) => called(one) === focus);
    // What is shut by now is found again by what opens it.
    (again?.closest("details:not([open])")?.querySelector("summary") ?? again ?? composer?.elements.text ?? log)?.focus();
  }
}

// Words that were on their way when their page was left, and whether they were stored all the same.
let restored = null;
function dropSaid() {
  const { text, client } = composer?.elements ?? {};
  if (!restored || text.value !== restored[0] || client.value !== restored[1]) return;
  if (!document.querySelector(`#lines > [data-client="${CSS.escape(restored[1])}"]`)) return;
  restored = null;
  text.value = "";
  client.value = uuid();
}
// How many lines of the staff's a visitor has had before them; kept where their token is, for the next page with a closed bubble.
let shown = window.parent === window;
let heard = Number(visit && stored(`${slot}-heard`)) || 0;
function haveHeard(many) {
  heard = Math.max(heard, many);
  if (visit && shown) store(`${slot}-heard`, heard);
}
window.addEventListener("message", ({ source, data }) => {
  if (source !== window.parent || data?.moat !== "shown") return;
  shown = !!data.open;
  if (data.focus) composer?.elements.text.focus();
  if (shown) haveHeard(document.querySelectorAll("#lines > .turn:not(.mine)").length);
});
let over = false; // nothing is read any more: shut out, or signed out with words in the box
let read = Date.now(); // when the page was last known to be up to date
let took = 0; // how long the last reading took
let running = null;
let again = false;

// Whoever calls this while the page is being read gets one that was read after their call.
function refresh() {
  if (over) return Promise.resolve();
  again = true;
  running ??= readAnew().finally(() => (running = null));
  return running;
}

async function readAnew() {
  while (again && !over) {
    again = false;
    const begun = Date.now();
    // What hangs is no answer: after a sleep, a connection may be gone without a word.
    const known = visit && token();
    const answer = await fetch(location.href, { headers: headers({ accept: "text/html" }), cache: "no-store", signal: AbortSignal.timeout(20000) });
    // Nobody knows this visitor any more: what they said was erased, or never came to be. They may begin anew.
    if (visit && answer.status === 401 && known) {
      forgotten(known);
      again = true;
      continue;
    }
    if (visit && (answer.status === 401 || answer.status === 403)) return end("You can't write here any more.");
    if (visit && answer.status === 404) return end("This is closed.");
    // One that was erased while it was open: the desk is there still.
    if (desk?.dataset.open && answer.status === 404 && (await fetch(`/w/${desk.dataset.place}/desk`, { method: "HEAD", headers: headers() })).ok) {
      lines().replaceChildren();
      for (const region of document.querySelectorAll("#talk-head, #beside, #later")) region.replaceChildren();
      if (!composer?.elements.text.value) return location.assign(`/w/${desk.dataset.place}/desk`);
      return end("This conversation was erased. Copy what you wrote before you leave this page.");
    }
    if (desk && (answer.status === 404 || answer.redirected)) {
      // Signed out, or not in this workspace any more: what the server says to that is the page, unless words would be lost.
      if (!composer?.elements.text.value) return location.reload();
      return end("You are signed out, or this is not yours any more. Copy what you wrote before you leave this page.");
    }
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // Somebody who answers here by now, or no longer: theirs is another page. What is written is kept on the way; but no note for the
    // team comes to stand where one writes to the customer.
    const theirPage = fresh.querySelector(PLACE);
    if (theirPage && desk && "agent" in theirPage.dataset !== "agent" in desk.dataset) {
      if ("agent" in desk.dataset || !composer?.elements.text.value.trim()) return anew();
      complain(composer, "You answer customers here by now. Keep this as a note, or clear it, and this page changes.");
      composer.elements.text.oninput = ({ target }) => target.value.trim() || soon();
    }
    const wasAtEnd = atEnd();
    const shown = () => [...document.querySelectorAll("#lines > li:not(.mine), #queue .rows > li")].map((line) => line.id);
    const had = new Set(shown());
    for (const region of document.querySelectorAll("[data-region]")) {
      const other = fresh.getElementById(region.id);
      if (other) take(region, other);
    }
    // The lists are as the server has them again: what is being written narrows them.
    if (replies?.open && composer.elements.text.value.startsWith("/")) offerReplies();
    if (people?.open && naming()) offerPeople();
    if (desk) desk.dataset.pos = theirPage?.dataset.pos ?? desk.dataset.pos;
    dropSaid();
    if (behind) missed += shown().filter((id) => !had.has(id)).length;
    if (wasAtEnd) log.scrollTop = log.scrollHeight;
    // The page around a frame shows nothing of what is said in it but that something was.
    const theirs = document.querySelectorAll("#lines > .turn:not(.mine)").length;
    if (visit && window.parent !== window && theirs > heard) window.parent.postMessage({ moat: "news", many: theirs - heard }, "*");
    haveHeard(theirs);
    noteSeen();
    // Whoever closed another window of this one has not left.
    if (open && Date.now() - toldAt > 3000) look();
    read = Date.now();
    took = read - begun;
    count();
  }
}

// This page from the server, whatever it was an answer to.
function anew() {
  const address = new URL(location.href);
  address.searchParams.delete("do");
  address.hash = "";
  location.replace(address);
}

function end(text) {
  over = true;
  document.dispatchEvent(new Event("moat-ended"));
  hangUp();
  if (visit) {
    for (const region of document.querySelectorAll("[data-region]")) region.replaceChildren();
    for (const control of composer.elements) control.disabled = true;
  }
  stand(false, "");
  complain(composer, text);
}

// This token, and not one that another tab has been given since.
function forgotten(known) {
  if (token() === known) {
    keep(null);
    store(`${slot}-heard`, null);
    heard = 0;
  }
  lines().replaceChildren();
}

const atEnd = () => log && log.scrollHeight - log.scrollTop - log.clientHeight < 40;

// What its reader has had before them: not what came while nobody looks, nor what is below the fold. An answer to less is held.
let seen = lines()?.dataset.seen;
function noteSeen() {
  if (!document.hidden && atEnd()) seen = lines().dataset.seen;
  for (const field of document.querySelectorAll("input[name=seen]")) field.value = seen;
}

const title = document.title;
function count() {
  const { waiting = 0, owed = 0 } = document.getElementById("queue")?.dataset ?? {};
  const many = Number(waiting) + Number(owed);
  document.title = many ? `(${many}) ${title}` : title;
}

// "Live", or since when what is shown may be out of date.
let behind = false; // it has said since when it was not up to date
let missed = 0; // lines that came while it was not
let caught = 0; // until when that is said
function stand(live, instead) {
  const mark = document.getElementById("standing");
  if (!mark) return;
  const since = new Date(read).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const late = Date.now() - read > 5000;
  // Back again, and what there is by now was read: for a moment it says so, with how much of it is new.
  if (live && behind) {
    behind = false;
    caught = Date.now() + 8000;
    setTimeout(() => mark.dataset.live === "yes" && stand(true), 8100);
  }
  if (live && Date.now() >= caught) missed = 0;
  if (!live && late) behind = true;
  const here = Date.now() < caught ? `Caught up${missed ? `, ${missed} new` : ""}` : "Live";
  const words = over ? (instead ?? "") : live ? here : late ? `Not up to date since ${since}. Trying again.` : "Connecting";
  if (mark.textContent !== words) mark.textContent = words;
  mark.dataset.live = live ? "yes" : late ? "no" : "";
}

const soon = (() => {
  let timer = null;
  // Under load each page is read for some events at once, and no tab reads without a pause.
  return () => (timer ??= setTimeout(() => ((timer = null), refresh().catch(hangUp)), Math.max(60, took * 3)));
})();

// A page that could not be read, or a form that could not be sent: the stream may be open and nothing come through it.
let stop = null;
const hangUp = () => stop?.abort();

// Listens until the stream ends or is silent for longer than the server's sign of life. Where something on the way holds streams
// back, reading anew now and then goes on all the same.
async function listen() {
  stop = new AbortController();
  let quiet = null;
  const alive = () => {
    read = Math.max(read, running ? 0 : Date.now());
    clearTimeout(quiet);
    quiet = setTimeout(hangUp, 40000);
    pass("alive");
  };
  try {
    quiet = setTimeout(hangUp, 40000);
    const address = visit ? "/widget-live" : `/live?desks=${desk.dataset.place}.${desk.dataset.pos}`;
    const answer = await fetch(address, { headers: headers({ accept: "text/event-stream" }), cache: "no-store", signal: stop.signal });
    // Nothing has been said yet.
    if (visit && answer.status === 404) return void (await begun(15000));
    if (!answer.ok) throw new Error(answer.status);
    await refresh();
    stand(true);
    heads = true;
    pass("open");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      alive();
      rest += value;
      const events = rest.split("\n\n");
      rest = events.pop();
      if (events.some((event) => event.includes("data:") && !event.startsWith("event: alive"))) (soon(), pass("event"));
    }
  } finally {
    pass("end");
    heads = false;
    clearTimeout(quiet);
    hangUp();
  }
}

// The tabs of a desk share a stream: one of them has it, and tells the others that something has happened. Each reads its own page anew.
// Without locks, as on plain http, each has its own.
const others = desk && navigator.locks && "BroadcastChannel" in window ? new BroadcastChannel(`moat-desk-${desk.dataset.place}`) : null;
let heads = false; // the stream is here
let hear = null; // what this tab does with what it is told
const pass = (word) => heads && others?.postMessage(word);
if (others) others.onmessage = ({ data }) => (heads ? data === "who" && pass("open") : data !== "who" && hear?.(data));

// Hears from the tab that has the stream, until this one has it.
async function share() {
  let quiet = null;
  const listening = () => {
    clearTimeout(quiet);
    // Silence is no news that nothing has happened.
    quiet = setTimeout(() => (stand(false), refresh().catch(() => {}), listening()), 40000);
  };
  hear = (word) => {
    if (word === "end") return stand(false);
    listening();
    read = Math.max(read, running ? 0 : Date.now());
    if (word === "open") refresh().then(() => stand(true), () => stand(false));
    if (word === "event") soon();
  };
  const leave = new AbortController();
  const look = () => idle() && leave.abort();
  document.addEventListener("visibilitychange", look);
  listening();
  others.postMessage("who");
  try {
    await navigator.locks.request(`moat-desk-${desk.dataset.place}`, { signal: leave.signal }, () => {
      hear = null;
      clearTimeout(quiet);
      return listen();
    });
  } finally {
    hear = null;
    clearTimeout(quiet);
    document.removeEventListener("visibilitychange", look);
  }
}

// Until this frame, or one of the same page in another tab, has a conversation.
const begun = (most) =>
  new Promise((go) => {
    document.addEventListener("moat-begun", go, { once: true });
    window.addEventListener("storage", go, { once: true });
    if (most) setTimeout(go, most);
  });

// Nobody looks at this tab, nor has anybody asked it to tell them of news.
const idle = () => document.hidden && document.documentElement.dataset.alerts !== "on";

async function keepListening() {
  let wait = 500;
  while (!over) {
    while (visit && !token()) {
      stand(true);
      await begun();
    }
    const from = Date.now();
    // A tab that nobody looks at holds no stream, of which a browser has few; it looks now and then, for the number in its title.
    if (!idle()) await (others ? share() : listen()).catch(() => {});
    if (over) return;
    if (idle()) {
      stand(false);
      await Promise.race([new Promise((go) => setTimeout(go, 30000)), new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }))]);
      wait = 500;
    } else {
      if (Date.now() - from > 5000) wait = 500;
      stand(false);
      await new Promise((go) => setTimeout(go, wait));
      wait = Math.min(wait * 2, 15000);
    }
    // A stream that does not come is no reason not to look.
    await refresh().catch(() => {});
    stand(false);
  }
}

async function begin() {
  if (!visit || token()) return;
  const body = new URLSearchParams({ key: visit.dataset.widget });
  const answer = await fetch("/api/moat/widget/server_fns/begin_visit", { method: "POST", body });
  if (!answer.ok) throw await answer.json().catch(() => ({}));
  const fresh = await answer.json();
  // Another tab was faster.
  if (token()) return;
  keep(fresh);
  // Or as fast: of those that begin at the same moment the last has written over the others, and all are its customer. No storage
  // that frames of others are always given says more.
  await new Promise((go) => setTimeout(go, 150));
}

const WORDS = {
  unauthenticated: "You are signed out.",
  forbidden: "This is not allowed.",
  not_found: "There is nothing here any more.",
  too_large: "That is too long to send.",
  internal: "Something failed on our side.",
};
const words = (error) =>
  error?.what ?? error?.why ?? (error?.retry_after ? `Too much at once. Try again in ${error.retry_after} s.` : WORDS[error?.error] ?? "This was not sent: the server can't be reached. Try again.");

// Words come back to where they were written. What was typed meanwhile comes after them.
function backInto(text) {
  const box = composer?.elements.text;
  if (!box) return;
  box.value = box.value ? `${text}\n${box.value}` : text;
  box.focus();
}

// Where no region is written anew.
const place = (form) => (form === composer ? form : document.getElementById("problem") ?? form);
function complain(form, text) {
  const at = place(form);
  let box = at.querySelector(".problem");
  if (!box) {
    box = document.createElement("p");
    box.className = "problem";
    box.setAttribute("role", "alert");
    // Below a button, which stays where it is.
    if (at === form && form !== composer) at.append(box);
    else at.prepend(box);
  }
  box.dataset.at = Date.now();
  box.textContent = text;
}

// A row that has just come under the pointer is not the one that was aimed at.
let aimed = null; // the row that the pointer is over, and where
let moved = null; // which that was before the list was read anew, and when
for (const kind of ["pointermove", "pointerdown"]) {
  document.addEventListener(kind, ({ target, clientX, clientY }) => {
    const row = target.closest?.("#queue .rows > li")?.id;
    aimed = row ? { row, clientX, clientY } : null;
  }, { passive: true });
}
document.addEventListener("click", (event) => {
  const row = event.detail > 0 && event.target.closest("#queue .rows > li");
  if (!row || !moved || row.id === moved.row || event.timeStamp - moved.at > 700) return;
  // Whoever has gone on to another row means that one.
  if (Math.hypot(event.clientX - moved.clientX, event.clientY - moved.clientY) < 8) event.preventDefault();
}, { capture: true });

// The second click of two is none: what stands under it by now may be another button.
let clicked = null;
document.addEventListener("click", (event) => {
  const button = event.target.closest("form[data-send] button");
  const twice = clicked && event.detail > 0 && event.timeStamp - clicked.timeStamp < 700 && Math.hypot(event.clientX - clicked.clientX, event.clientY - clicked.clientY) < 8;
  if (button && (twice || event.detail > 1)) event.preventDefault();
  else clicked = button && event.detail > 0 ? event : null;
}, { capture: true });

// Away from this page by a form that the browser sends itself.
document.addEventListener("submit", (event) => {
  if (event.target.id !== "many" || !composer?.elements.text.value.trim()) return;
  event.preventDefault();
  complain(composer, "Send what you wrote, or clear it, before you change others.");
});

const ticks = document.getElementById("tick-all");
if (ticks) {
  ticks.hidden = false;
  ticks.addEventListener("click", () => {
    const on = ticks.dataset.on === undefined;
    for (const tick of document.querySelectorAll("#queue li input[type=checkbox]")) tick.checked = on;
    // It does what it says, whatever has come into the list since.
    if (on) ticks.dataset.on = "";
    else delete ticks.dataset.on;
    ticks.textContent = on ? "Untick all" : "Tick all that are shown";
  });
}

let sending = null; // what is being said, until it is stored and shown
let underWay = null; // its words and their id
let leaving = false; // on the way to another conversation: what is written now would be lost
function leave(on) {
  leaving = on;
  if (composer) composer.elements.text.readOnly = on;
}

// On screen at once, marked while it is under way. If it was not sent, the words are back where they were typed, under the id that
// they had: sent again, they are stored once.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-send]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.busy !== undefined) return;
  // Away from this page, and from what was written on it: not before that is sent.
  const leaves = form.elements.next || form.getAttribute("action").endsWith("take-next");
  // Once, whichever of its forms: by then the region may have been written anew, with another.
  if (leaving && (leaves || form === composer)) return;
  form.dataset.busy = "";
  if (leaves && composer) {
    leaving = true;
    await sending;
    if (composer.elements.text.value.trim()) {
      delete form.dataset.busy;
      leave(false);
      // Why it was not sent stands there already.
      return composer.querySelector(".problem") ?? complain(composer, "Send what you wrote, or clear it, before you go on to the next one.");
    }
  }
  if (leaves) leave(true);
  let sent = null;
  if (form === composer) sending = new Promise((go) => (sent = go));
  for (const old of document.querySelectorAll(".problem")) old.remove();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  const field = form.elements[form.dataset.send];
  const text = field?.value;
  let row = null;
  if (field) {
    row = document.createElement("li");
    row.id = `under-way-${form.elements.client.value}`;
    row.className = `turn mine${body.get("note") ? " aside" : ""}`;
    row.dataset.underWay = "";
    row.setAttribute("aria-hidden", "true"); // it is read aloud once it is stored
    const p = document.createElement("p");
    p.className = "turn-words";
    p.textContent = text;
    const by = document.createElement("p");
    by.className = "turn-by";
    by.textContent = "Sending";
    row.append(by, p);
    lines().append(row);
    log.scrollTop = log.scrollHeight;
    field.value = "";
    underWay = [text, form.elements.client.value];
  }
  let answered = false;
  let gone = false;
  try {
    await begin();
    const known = visit && token();
    const answer = await fetch(form.getAttribute("action"), { method: "POST", headers: headers({ "x-moat-form": "1" }), body, signal: AbortSignal.timeout(20000) });
    answered = true;
    const said = await answer.json().catch(() => null);
    // Nothing was stored under this id, or another text was: it is spent.
    if (field && answer.status === 409) form.elements.client.value = uuid();
    if (visit && answer.status === 401) {
      forgotten(known);
      throw { why: "This conversation is not there any more. Send again to begin a new one." };
    }
    if (!answer.ok) throw said ?? {};
    if (field) form.elements.client.value = uuid();
    document.dispatchEvent(new Event("moat-begun"));
    if (typeof said === "string" && desk) {
      gone = true;
      return location.assign(said);
    }
    // What was sent is what there is now, and what comes from the server replaces it.
    for (const one of form.elements) {
      if (one.options) for (const option of one.options) option.defaultSelected = option.selected;
      else if (one.type !== "checkbox" && one.type !== "hidden" && one !== field && "defaultValue" in one) one.defaultValue = one.value;
    }
    // Taken back: the words are where they were written, before what has been typed since.
    if (form.dataset.back !== undefined) backInto(form.elements.text.value);
    row?.removeAttribute("data-under-way");
    // The next answer leaves when answers do.
    if (form === composer && form.elements.wait) form.elements.wait.selectedIndex = 0;
    await refresh().catch(hangUp);
  } catch (error) {
    // It did nothing: whoever tries again means it.
    clicked = null;
    row?.remove();
    if (field) {
      backInto(text);
    }
    // Nobody knows whether it was taken back; its words are not lost with the line.
    if (form.dataset.back !== undefined && !answered) backInto(form.elements.text.value);
    complain(form, words(error));
    refresh().catch(hangUp);
  } finally {
    delete form.dataset.busy;
    if (field) underWay = null;
    if (leaves && !gone) leave(false);
    sent?.();
  }
});

// What the assistant would have said, or words that are sent often, go into the box, behind what is typed there.
const replies = document.getElementById("replies");
document.addEventListener("click", (event) => {
  const draft = event.target.closest("a[data-draft]");
  if (!draft || !composer || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const field = composer.elements.text;
  const typed = replies?.contains(draft) ? field.value.replace(/^\/.*$/, "") : field.value;
  field.value = typed ? `${typed}\n${draft.dataset.draft}` : draft.dataset.draft;
  if (replies) {
    for (const one of replies.querySelectorAll("li")) one.hidden = false;
    replies.open = false;
  }
  field.focus();
});

// "/" and the beginning of a name narrows the saved replies; "@" and a beginning, the colleagues whom a note can name. Enter then takes
// the first, Escape leaves.
const fitting = (list) => [...list.querySelectorAll("li")].filter((one) => !one.hidden);
function offerReplies() {
  const field = composer.elements.text;
  const asked = /^\/(.*)$/.exec(field.value)?.[1]?.toLowerCase();
  for (const one of replies.querySelectorAll("li")) one.hidden = asked !== undefined && !one.textContent.toLowerCase().includes(asked);
  mark(replies, asked !== undefined);
  if (asked !== undefined) replies.open = fitting(replies).length > 0;
  else if (field.value) replies.open = false;
}
// What Enter takes.
function mark(list, on) {
  for (const one of list.querySelectorAll(".first")) one.classList.remove("first");
  if (on) fitting(list)[0]?.classList.add("first");
}
if (replies) composer.elements.text.addEventListener("input", offerReplies);
const people = document.getElementById("people");
function naming() {
  const field = composer.elements.text;
  return /(^|\s)@([^\s@]*(?: [^\s@]*){0,3})$/.exec(field.value.slice(0, field.selectionStart));
}
// Whether the whole of somebody's name stands there, and a blank behind it: then Enter is for what was written.
const named = () => [...people.querySelectorAll("li")].some((one) => `${one.textContent.toLowerCase()} ` === naming()?.[2].toLowerCase());
function offerPeople() {
  const asked = naming()?.[2].toLowerCase();
  for (const one of people.querySelectorAll("li")) one.hidden = asked !== undefined && !one.textContent.toLowerCase().startsWith(asked);
  people.open = asked !== undefined && fitting(people).length > 0;
  mark(people, people.open);
}
if (people) {
  people.hidden = false;
  composer.elements.text.addEventListener("input", offerPeople);
  people.addEventListener("click", (event) => {
    const name = event.target.closest("a")?.textContent;
    if (!name) return;
    event.preventDefault();
    for (const one of people.querySelectorAll("li")) one.hidden = false;
    const field = composer.elements.text;
    const to = field.selectionStart;
    const typed = naming();
    const from = typed ? to - typed[2].length - 1 : to;
    const gap = from > 0 && !/\s/.test(field.value[from - 1]) ? " " : "";
    field.setRangeText(`${gap}@${name} `, from, to, "end");
    people.open = false;
    field.focus();
  });
}

// Down from the box into the list, and there from one to the next; up from the first, back.
for (const list of [replies, people]) {
  list?.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !list.open) return;
    event.preventDefault();
    const all = fitting(list).map((one) => one.querySelector("a"));
    const to = all[all.indexOf(document.activeElement) + step];
    if (to) to.focus();
    else if (step < 0) composer.elements.text.focus();
  });
}

// A link in what was said leads out of the frame and keeps the page.
document.addEventListener("click", ({ target }) => {
  const link = target.closest?.(".turn-words a[href]");
  if (link) link.target = "_blank";
}, { capture: true });

// The bubble is shut from inside as well.
if (visit && window.parent !== window) {
  document.addEventListener("keydown", (event) => event.key === "Escape" && !event.isComposing && window.parent.postMessage({ moat: "shut" }, "*"));
}

// What lies over the page goes away by Escape, and by a click beside it.
const floats = () => document.querySelectorAll("#beside > details[open], #replies[open], #people[open]");
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const one of floats()) {
    one.open = false;
    if (one.contains(document.activeElement)) one.querySelector("summary").focus();
  }
});
document.addEventListener("click", ({ target }) => {
  // What a click took off the page may have been inside.
  if (!target.isConnected || target === composer?.elements.text) return;
  for (const one of floats()) if (!one.contains(target)) one.open = false;
});

// What is written and not sent outlives the way to another page, with the id under which it may have been stored: in this tab, and
// until it is sent.
const kind = desk && ("agent" in desk.dataset ? desk.dataset.open : `note-${desk.dataset.open}`); // a note becomes no answer
const draft = composer && `moat-draft-${desk ? kind : slot}`;
if (composer) {
  const { text, client } = composer.elements;
  try {
    // What was to be an answer may become a note.
    const kept = JSON.parse(sessionStorage.getItem(draft) ?? (desk && sessionStorage.getItem(`moat-draft-${desk.dataset.open}`)));
    if (kept && !text.value) {
      [text.value, client.value] = kept;
      restored = kept;
    }
  } catch {
    // Nothing is kept here.
  }
  dropSaid();
  // What was typed before this script was here.
  if (replies && document.activeElement === text && text.value.startsWith("/")) offerReplies();
  window.addEventListener("pagehide", () => {
    // What is on its way may not arrive.
    const left = text.value.trim() ? [text.value, client.value] : underWay;
    try {
      if (left && !over) sessionStorage.setItem(draft, JSON.stringify(left));
      else sessionStorage.removeItem(draft);
    } catch {
      // Where a browser keeps nothing, they are lost.
    }
  });
}

// Enter sends; with Shift it makes a line.
composer?.elements.text.addEventListener("keydown", (event) => {
  const list = [replies, people].find((one) => one?.open);
  if (event.key === "Escape" && list) return void (list.open = false);
  const asks = list && (list === people ? naming() && !named() : event.target.value.startsWith("/"));
  if (event.key === "ArrowDown" && asks && !event.isComposing) {
    event.preventDefault();
    return fitting(list)[0]?.querySelector("a").focus();
  }
  if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.isComposing) return;
  event.preventDefault();
  if (asks && fitting(list)[0]) return fitting(list)[0].querySelector("a").click();
  // What looks like a note, or like a reply that there is none of, goes to no customer by a key.
  const said = ` ${event.target.value.toLowerCase()} `;
  const whom = [...(people?.querySelectorAll("li") ?? [])].map((one) => one.textContent).find((name) => said.includes(` @${name.toLowerCase()}`));
  if (whom) return complain(composer, `This names ${whom}, and the customer would read it. Keep it as a note, or press Send.`);
  if (replies && /^\/\S.*$/.test(event.target.value)) return complain(composer, "No saved reply has this name. Press Send if the customer is to read it.");
  composer.requestSubmit(composer.querySelector("button"));
});

document.addEventListener("visibilitychange", () => (look(document.hidden), idle() ? hangUp() : (noteSeen(), soon())));
log?.addEventListener("scroll", noteSeen, { passive: true });
window.addEventListener("online", soon);
window.addEventListener("offline", hangUp);

// A page that one has come back to: what was asked for on it was taken then, and the next one is another.
window.addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return;
  leave(false);
  const id = document.querySelector('form[action$="take-next"]')?.elements.client;
  if (id) id.value = uuid();
});

// Ctrl and Shift with Enter: resolved, and the next one.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.repeat || !event.shiftKey || !(event.ctrlKey || event.metaKey)) return;
  document.querySelector("form:has(> input[name=next])")?.requestSubmit();
});

// Colleagues see who looks at a conversation and who types, and what was before one's eyes is read.
const open = desk?.dataset.open;
let told = "";
let typed = 0;
let toldAt = 0;
function look(leaving) {
  if (!open || over || (document.hidden && !leaving)) return;
  // A tab that nobody has looked at has read nothing.
  if (leaving && !told) return;
  toldAt = Date.now();
  const typing = typed > 0 && Date.now() - typed < 6000;
  told = `${seen} ${typing}`;
  const body = new URLSearchParams({ conversation: open, seen, typing, gone: !!leaving });
  fetch("/api/moat/conversations/server_fns/look_at", { method: "POST", headers: headers(), body, keepalive: !!leaving }).then((answer) => answer.text()).catch(() => {});
}
// Whoever stopped typing by going away says nothing.
if (visit) setInterval(() => document.getElementById("is")?.textContent.endsWith("is typing.") && soon(), 6000);
if (open) {
  composer?.elements.text.addEventListener("input", () => {
    const began = !typed || Date.now() - toldAt > 5000;
    typed = composer.elements.text.value ? Date.now() : 0;
    if (began || !typed) look();
  });
  // What was sent is typed no more, nor is what was left.
  composer?.addEventListener("submit", () => ((typed = 0), look()));
  window.addEventListener("pagehide", () => ((typed = 0), look(true)));
  window.addEventListener("pageshow", ({ persisted }) => persisted && look());
  // What came into view, or somebody who stopped typing; and a sign of life now and then.
  setInterval(() => told !== `${seen} ${typed > 0 && Date.now() - typed < 6000}` && look(), 2000);
  setInterval(look, 25000);
  // Whoever left says nothing.
  setInterval(() => document.querySelector(".looking") && soon(), 15000);
}

// What is about to leave says that it has.
if (desk) setInterval(() => document.querySelector(".later.soon") && !document.hidden && soon(), 2000);
// Nor does anybody tell a customer that somebody has come to the desk.
if (visit) setInterval(() => document.getElementById("is")?.textContent.startsWith("Nobody is here") && !document.hidden && soon(), 60000);
// Times on screen go on by themselves.
if (desk) setInterval(() => !document.hidden && soon(), 60000);

// Whoever has the desk open is there: what they have stays theirs.
if (desk?.dataset.agent !== undefined && desk) {
  const here = () => fetch("/api/moat/conversations/server_fns/be_here", { method: "POST", headers: headers() }).then((answer) => answer.text()).catch(() => {});
  here();
  setInterval(here, 60000);
}

if (log) {
  log.scrollTop = log.scrollHeight;
  // Whoever reads the end goes on reading it, whatever grows below.
  let end = true;
  log.addEventListener("scroll", () => (end = atEnd()), { passive: true });
  const grows = new ResizeObserver(() => end && (log.scrollTop = log.scrollHeight));
  for (const one of [log, lines()]) grows.observe(one);
}
if (visit && window.parent !== window) window.parent.postMessage({ moat: "here" }, "*");
// The server has not known whose clock a new visitor reads.
const timed = document.getElementById("is")?.textContent.startsWith("Nobody is here");
if (visit && (token() || timed)) await refresh().catch(() => {});
count();
noteSeen();
look();
keepListening();
