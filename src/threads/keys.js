// Keys that do something wherever nobody types, the sheet that lists them (the guide's page about keys), and the focus, which
// goes back to where it was when something closes.

const one = (what) => document.querySelector(what);
const isMac = /^(Mac|iP)/.test(navigator.platform);
// Read each time: it may have been switched in another window.
const isOn = () => !/(^|; )moat-keys=off/.test(document.cookie);

// As soon as it can be seen: it may stand on a page that is on its way.
function focus(what, frames = 180) {
  const found = one(what);
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

async function file(thread, act) {
  const body = new URLSearchParams({ "threads[]": thread, act });
  const response = await fetch("/chat?do=file", { method: "POST", body, headers: { "x-moat-form": "1" } }).catch(() => null);
  return !!response?.ok;
}

// Says what was done, with the way back.
function offer(thread, text, back) {
  one("form.undo[data-back]")?.remove();
  one(".side-list").insertAdjacentHTML("beforebegin", '<form class="undo" data-back><p id="filed"></p></form>');
  const form = one("form.undo[data-back]");
  form.firstChild.textContent = text;
  if (back) {
    form.insertAdjacentHTML("beforeend", '<button class="button" aria-describedby="filed">Undo</button>');
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!(await file(thread, back))) return offer(thread, "Not undone. Try it again.", back);
      form.remove();
      focus(`[data-row="${thread}"] a`);
    });
  } else form.firstChild.role = "alert";
  setTimeout(() => form.remove(), 30000);
}

async function archive() {
  const open = /^\/chat\/(.+)/.exec(location.pathname)?.[1];
  const line = document.activeElement.closest("[data-row]");
  const thread = line?.dataset.row ?? open;
  if (!thread) return;
  const isBack = line ? one(".side-list").dataset.query.includes("archived") : !!one(".pane-head [value=unarchive]");
  const [act, back] = isBack ? ["unarchive", "archive"] : ["archive", "unarchive"];
  const title = line?.querySelector("a").title ?? one(".pane-head h1").title;
  const all = links();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? null : (all[at + 1] ?? all[at - 1]);
  if (!(await file(thread, act))) return offer(thread, `${title} could not be moved. Try it again.`);
  offer(thread, `${isBack ? "Back from the archive" : "Archived"}: ${title}`, back);
  if (thread === open) one(".pane-head .back")?.click();
  if (next) next.focus();
  else focus(".undo button");
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
  document.addEventListener("submit", async (event) => {
    const { target: form, submitter } = event;
    if (!form.matches("#keys-sheet [action]")) return;
    event.preventDefault();
    await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, submitter)), headers: { "x-moat-form": "1" } }).catch(() => null);
    renew();
    form.querySelector("button:not([hidden])").focus();
  });
  // Whoever closes something goes on from what opened it; whoever opens a message to change it wants to write there.
  document.addEventListener("toggle", ({ target: details }) => {
    if (!details.matches("details")) return;
    const here = document.activeElement;
    if (details.open) {
      if (details.matches(".edit")) details.querySelector("textarea").focus();
    } else if (here === document.body || details.contains(here)) details.querySelector("summary").focus();
  }, true);
}
