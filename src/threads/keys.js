// Keys that do something wherever nobody types, the sheet that lists them (the guide's page about keys), the theme, and the
// focus, which goes back to where it was when something closes, and on to what is next when something goes.

const one = (what) => document.querySelector(what);
const isMac = /^(Mac|iP)/.test(navigator.platform);
// Read each time: it may have been switched in another window.
const isOn = () => !/(^|; )moat-keys=off/.test(document.cookie);

// As soon as it can be seen: it may stand on a page that is on its way.
function focus(what, frames = 180) {
  const found = what.matches ? what : one(what);
  if (found?.checkVisibility()) {
    found.focus();
    if (found.type === "search") found.select();
  } else if (frames) requestAnimationFrame(() => focus(what, frames - 1));
}

// On a phone an open chat hides the list.
function toList(what) {
  if (!one(".search input").checkVisibility()) one(".pane-head .back")?.click();
  focus(what);
}

const links = () => [...document.querySelectorAll(".side .thread, .side .hit")].filter((link) => link.checkVisibility());

function move(step) {
  const all = links();
  const focused = all.indexOf(document.activeElement);
  const from = focused < 0 ? all.findIndex((link) => link.matches("[aria-current]")) : focused;
  if (!all.length) toList(".side .thread");
  else all[from < 0 ? 0 : from + step]?.focus();
}

function begin() {
  const link = one(".side-head > a");
  if (link.href !== location.href) link.click();
  focus('[action^="/chat?do=start"] textarea');
}

// Posts a form in the page's place.
const post = (to, fields) =>
  fetch(to, { method: "POST", body: new URLSearchParams(fields), headers: { "x-moat-form": "1" } }).then((answer) => answer.ok, () => false);

const file = (thread, act) => post("/chat?do=file", { "threads[]": thread, act });

// Says what was done, with the way back. Where it stands is live, so that it is heard wherever the focus goes.
function offer(text, thread, back) {
  const form = document.createElement("form");
  form.className = "undo";
  form.innerHTML = `<p></p>${back ? '<button class="button">Undo</button>' : ""}`;
  form.firstChild.textContent = text;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await file(thread, back))) return offer("Not undone. Try it again.", thread, back);
    form.remove();
    focus(`[data-row="${thread}"] a`);
  });
  one(".filed").replaceChildren(form);
  setTimeout(() => form.remove(), 30000);
}

const opened = () => /^\/chat\/(.+)/.exec(location.pathname)?.[1];
const named = (thread) => (one(`[data-row="${thread}"] a`) ?? one(".pane-head h1")).title;

// What is to be done when a chat has been archived, deleted or marked: looked up while its line is there. A deleted one the
// list itself offers back.
function leave(thread, act, onward) {
  const lines = [...document.querySelectorAll(".rows a")];
  const at = lines.findIndex((line) => line.pathname.endsWith(thread));
  const next = onward && (act === "unread" ? lines[at] : (lines[at + 1] ?? lines[at - 1]));
  const title = named(thread);
  return () => {
    // What can be taken back is what was done last.
    one(".filed").replaceChildren();
    if (act === "archive") offer(`Archived: ${title}`, thread, "unarchive");
    if (act === "unarchive") offer(`Back from the archive: ${title}`, thread, "archive");
    focus(next || ".undo button");
  };
}

async function archive() {
  const line = document.activeElement.closest("[data-row]");
  const thread = line?.dataset.row ?? opened();
  if (!thread) return;
  const isBack = line ? one(".side-list").dataset.query.includes("archived") : !!one(".pane-head [value=unarchive]");
  const act = isBack ? "unarchive" : "archive";
  const done = leave(thread, act, line);
  if (!(await file(thread, act))) return offer(`${named(thread)} could not be moved. Try it again.`);
  done();
  if (thread === opened()) one(".pane-head .back")?.click();
}

// At once; put back when the server does not hear of it, which keeps the choice.
async function dress(form) {
  const { dataset } = document.documentElement;
  const before = dataset.theme;
  const theme = (dataset.theme = form.theme.value);
  if (!(await post(form.action, { theme }))) {
    dataset.theme = before;
    return offer("The theme was not changed. Try it again.");
  }
  const all = ["system", "light", "dark"];
  const at = all.indexOf(theme);
  form.theme.value = all[(at + 1) % 3];
  const button = form.querySelector("button");
  button.title = button.ariaLabel = form.dataset.here.split("|")[at];
}

// Of the message in which the focus is, or of the last one that has several.
function version(which) {
  const message = document.activeElement.closest(".message") ?? [...document.querySelectorAll(".message:has(.versions)")].at(-1);
  const button = message?.querySelector(`[aria-label="${which} version"]:enabled`);
  button?.focus();
  button?.click();
}

function press(what) {
  one(what)?.focus();
  one(what)?.click();
}

function renew() {
  for (const button of document.querySelectorAll("#keys-sheet [name=keys]")) button.hidden = (button.value === "on") === isOn();
}

function openSheet() {
  renew();
  one("#keys-sheet").showModal();
}

const KEYS = {
  c: begin,
  j: () => move(1),
  k: () => move(-1),
  e: archive,
  z: () => press(".undo button"),
  r: () => focus("#composer textarea"),
  s: () => one(".status button")?.click(),
  "[": () => version("Previous"),
  "]": () => version("Next"),
  "?": openSheet,
};

// Whoever has just clicked has a hand on the mouse: letters are meant for the box then, and not for the list that they would
// archive from.
let clicked = false;

export function attend_keys() {
  document.addEventListener("pointerdown", () => (clicked = true), true);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || one("dialog[open]")) return;
    const { key, target } = event;
    if ((isMac ? event.metaKey : event.ctrlKey) && !event.shiftKey && !event.altKey && key.toLowerCase() === "k") {
      event.preventDefault();
      return toList(".search input");
    }
    const menu = one("details.menu[open]");
    if (key === "Escape" && !menu) {
      const details = target.closest("details[open]");
      if (details) details.open = false;
      // Out of the box, so that the keys below mean something again; what was typed stays.
      else if (target.matches("textarea")) target.blur();
      clicked = false;
    }
    // On some keyboards brackets are typed with AltGr, which says that it is Ctrl and Alt.
    if ((event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph")) return;
    if (menu || !isOn() || target.closest("input, textarea, select, [contenteditable]")) return;
    if (key.length > 1) clicked = false;
    else if (clicked && /[\p{L}\d]/u.test(key)) return focus("#composer textarea");
    if (!Object.hasOwn(KEYS, key) || (event.repeat && key !== "j" && key !== "k")) return;
    event.preventDefault();
    KEYS[key]();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-keys]")) openSheet();
    else if (event.target.closest(".skip")) focus("#composer textarea");
    else return;
    event.preventDefault();
  });
  // Before others hear of it.
  document.addEventListener("submit", async (event) => {
    const { target: form, submitter } = event;
    // The menu of a chat is sent as it is; its page goes then, and the focus with it.
    if (form.matches(".pane-head form") && /^(archive|delete|unread)$/.test(submitter?.value)) submitter.gone = leave(opened(), submitter.value, true);
    const isTheme = form.dataset.here;
    if (!isTheme && !form.matches("#keys-sheet [action]")) return;
    event.preventDefault();
    if (isTheme) return dress(form);
    await post(form.action, new FormData(form, submitter));
    renew();
    form.querySelector("button:not([hidden])").focus();
  }, true);
  // Whoever closes something goes on from what opened it; whoever opens a message to change it wants to write there.
  document.addEventListener("toggle", ({ target: details }) => {
    if (!details.matches("details")) return;
    const here = document.activeElement;
    if (details.open) {
      if (details.matches(".edit")) details.querySelector("textarea").focus();
    } else if (here === document.body || details.contains(here)) details.querySelector("summary").focus();
  }, true);
}
