// A sound, and a note of the browser's, when somebody waits or a customer of one's own has written: for whoever asked for that in this
// browser. The page is read anew by desk.js; this looks at what it says then. No word of a customer's is shown outside the page.
const button = document.getElementById("alerts");
const queue = document.getElementById("queue");
const slot = "moat-desk-alerts";
const desk = `${slot}-${document.querySelector("main.desk").dataset.place}`;
const page = document.documentElement;
let over = false;

function wanted() {
  try {
    return !over && localStorage.getItem(slot) === "on";
  } catch {
    return false; // a browser that keeps nothing is not asked each time
  }
}

// One tab of a desk tells, and goes on listening though nobody looks at it; the others let go, as ever.
const seeing = () => document.dispatchEvent(new Event("visibilitychange"));
let leave = null;
function lead() {
  if (!wanted() || leave) return;
  const told = new Promise((end) => (leave = end));
  const begin = () => {
    // Ended while it waited for its turn.
    if (!wanted()) return;
    page.dataset.alerts = "on";
    seeing();
    return told;
  };
  // Without locks, as on plain http, each tab tells for itself.
  if (navigator.locks) navigator.locks.request(desk, begin).catch(() => {});
  else begin();
}
function rest() {
  delete page.dataset.alerts;
  leave?.();
  leave = null;
  seeing();
}

let sound = null;
function ring() {
  // A browser plays nothing before somebody has touched the page.
  sound ??= new AudioContext();
  sound.resume().catch(() => {});
  for (const [at, pitch] of [[0, 660], [0.16, 880]]) {
    const tone = sound.createOscillator();
    const loud = sound.createGain();
    tone.frequency.value = pitch;
    loud.gain.setValueAtTime(0.12, sound.currentTime + at);
    loud.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + at + 0.15);
    tone.connect(loud).connect(sound.destination);
    tone.start(sound.currentTime + at);
    tone.stop(sound.currentTime + at + 0.15);
  }
}

// Since when whoever began to wait last does: that of all, and that of one's own. Taking somebody and giving them back changes neither,
// and going on to another page forgets nothing.
const newest = () => queue.dataset.new.split(" ").map(Number);
function known(next) {
  try {
    if (next) sessionStorage.setItem(desk, next.join(" "));
    return sessionStorage.getItem(desk)?.split(" ").map(Number);
  } catch {
    return next;
  }
}
let before = known() ?? newest();
function look() {
  const now = newest();
  const news = Math.max(...now) > Math.max(...before);
  const words = now[1] >= now[0] ? "A customer of yours has written." : "Somebody waits.";
  // What has been told is not told again when it is the newest once more.
  before = [Math.max(before[0], now[0]), Math.max(before[1], now[1])];
  known(before);
  if (!news || page.dataset.alerts !== "on") return;
  page.dataset.told = words;
  ring();
  if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted") return;
  try {
    const note = new Notification(document.title.replace(/^\(\d+\) /, ""), { body: words, tag: desk });
    note.onclick = () => (window.focus(), note.close());
  } catch {
    // Some browsers let a worker alone do this.
  }
}
new MutationObserver(look).observe(queue, { attributes: true, attributeFilter: ["data-new"] });

function show() {
  button.hidden = over;
  button.setAttribute("aria-pressed", wanted());
  button.textContent = wanted() ? "Telling you of news" : "Tell me of news";
}
button.addEventListener("click", async () => {
  const on = !wanted();
  try {
    localStorage.setItem(slot, on ? "on" : "off");
  } catch {
    return;
  }
  if (on) {
    ring(); // so that they know what it will sound like
    lead();
  } else rest();
  show();
  if (on && "Notification" in window && Notification.permission === "default") await Notification.requestPermission();
});
// Asked for or ended in another tab.
window.addEventListener("storage", (event) => {
  if (event.key !== slot) return;
  wanted() ? lead() : rest();
  show();
});
// This page is read anew no more: another tab may tell.
document.addEventListener("moat-ended", () => {
  over = true;
  rest();
  show();
});
show();
lead();
look();
