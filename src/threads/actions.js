// The forms below messages, without leaving the page: each is sent as it stands, and `done` hears what the server answers.
// Also what plain forms can't do: copying.

// Copies, and says so on the button for a moment.
async function copy(button, text) {
  // Plain http has no clipboard; a selection can be copied all the same.
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
    button.focus();
  }
  button.dataset.done = "";
  setTimeout(() => delete button.dataset.done, 1500);
}

async function copyMessage(button) {
  const body = new URLSearchParams({ message: button.dataset.copy });
  const response = await fetch("/api/moat/threads/server_fns/read_text", { method: "POST", body });
  if (response.ok) await copy(button, JSON.parse(await response.text()));
}

// A row is written anew when something in it has changed. Whoever pressed a button there goes on from the same button.
function keepFocus(root, button) {
  const key = button?.dataset.next ?? button?.dataset.key;
  if (!key) return;
  const seek = () => {
    if (button.isConnected && !button.disabled) return false;
    // Whoever has gone on to something else stays there.
    if (document.activeElement !== document.body && document.activeElement !== button) return true;
    const found = root.querySelector(`[data-key="${key}"]:not(:disabled)`);
    (found ?? root.querySelector(".scroller"))?.focus({ preventScroll: true });
    return true;
  };
  // The stream may have told it before the answer came.
  if (seek()) return;
  const observer = new MutationObserver(() => seek() && observer.disconnect());
  observer.observe(root, { childList: true, subtree: true });
  setTimeout(() => observer.disconnect(), 10000);
}

// What was typed into a form that is written anew goes on in the new one, and so does whoever types there.
function carryOver(root) {
  const fields = (node) => (node.querySelectorAll ? [...node.querySelectorAll("textarea, input[name=title], select")] : []);
  const changed = (field) => (field.options ? [...field.options].some((o) => o.selected !== o.defaultSelected) : field.value !== field.defaultValue);
  // Versions of a message stand in one place, so that another window's new version takes over what was typed for a further one.
  const place = (field) => field.form?.querySelector("[data-next]")?.dataset.next;
  let typing = null;
  root.addEventListener("focusin", (event) => (typing = event.target));
  new MutationObserver((records) => {
    const gone = records.flatMap((record) => [...record.removedNodes].flatMap(fields)).filter((field) => !field.isConnected);
    for (const old of gone) {
      const details = old.closest("details.edit");
      // What has just been sent is not typed any more.
      if (old.form?.dataset.busy !== undefined || (!changed(old) && !details?.open)) continue;
      const fresh = fields(root).find((field) => field.name === old.name && place(field) === place(old));
      if (!fresh) continue;
      if (changed(old)) fresh.value = old.value;
      if (details?.open) fresh.closest("details").open = true;
      if (typing === old && document.activeElement === document.body) {
        fresh.focus({ preventScroll: true });
        if (old.selectionEnd !== undefined) fresh.setSelectionRange(old.selectionStart, old.selectionEnd);
      }
    }
  }).observe(root, { childList: true, subtree: true });
}

// crypto.randomUUID is missing on plain http.
function uuid() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function send(root, form, button, done) {
  if (form.dataset.busy !== undefined) return;
  form.dataset.busy = "";
  try {
    const body = new URLSearchParams(new FormData(form, button));
    // Pressed twice on purpose, it is meant twice; what the page holds is for those without a script.
    if (button?.dataset.fresh !== undefined) body.set("client", uuid());
    const action = button?.hasAttribute("formaction") ? button.formAction : form.action;
    const response = await fetch(action, { method: "POST", body, headers: { "x-moat-form": "1" } });
    if (response.ok) {
      keepFocus(root, button);
      form.reset();
      const details = form.closest("details[open]");
      if (details?.matches(".menu") && details.contains(document.activeElement)) details.querySelector("summary").focus({ preventScroll: true });
      details?.removeAttribute("open");
    }
    done(response.ok, await response.text());
    // Its page goes, and stays busy until then: see the style sheet.
    if (response.ok && button?.gone) return button.gone();
  } catch {
    done(false, '{"error":"unavailable"}');
  }
  delete form.dataset.busy;
}

// A menu goes away by Escape and by a click beside it.
function close(menu, focus) {
  menu.open = false;
  if (focus) menu.querySelector("summary").focus();
}
const open = () => document.querySelectorAll("details.menu[open]");
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") open().forEach((menu) => close(menu, menu.contains(document.activeElement)));
});
document.addEventListener("click", (event) => open().forEach((menu) => menu.contains(event.target) || close(menu, false)));

export function attend(root, done) {
  carryOver(root);
  const ledTo = root.querySelector(`[data-message="${root.dataset.at}"]`);
  ledTo?.classList.add("led-to");
  // Once it is laid out: before, it may still be moved to its place, which would scroll back.
  if (ledTo) requestAnimationFrame(() => requestAnimationFrame(() => ledTo.scrollIntoView({ block: "center" })));
  // The next page above is there before somebody reaches it.
  const scroller = root.querySelector(".scroller");
  // The way back from there.
  const down = Object.assign(document.createElement("button"), { type: "button", className: "button down", hidden: true, textContent: "To the newest" });
  down.onclick = () => {
    scroller.scrollTop = 0;
    scroller.focus({ preventScroll: true });
  };
  scroller?.after(down);
  scroller?.addEventListener("scroll", () => {
    const link = scroller.querySelector(".messages > .earlier:first-child a");
    down.hidden = scroller.scrollTop > -400;
    if (link?.getBoundingClientRect().bottom > scroller.getBoundingClientRect().top - 800) link.click();
  }, { passive: true });
  root.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-stay]")) return;
    event.preventDefault();
    send(root, event.target, event.submitter, done);
  });
  root.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    if (button.dataset.copy) copyMessage(button);
    else copy(button, button.parentElement.querySelector("code").textContent);
  });
}
