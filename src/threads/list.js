// The list beside an open page: pieces that the server writes, put in place as things happen.

async function call(name, fields, tries = Infinity) {
  for (;;) {
    const response = await fetch(`/api/moat/threads/server_fns/${name}`, { method: "POST", body: new URLSearchParams(fields) }).catch(() => null);
    if (response?.ok) return response.json();
    // What fails for the moment is tried until it does not.
    const passes = !response || response.status >= 500 || response.status === 429;
    if (!passes || --tries < 1) throw response?.status;
    await new Promise((done) => setTimeout(done, 2000));
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export function list(root) {
  let open = "";
  const one = (what) => root.querySelector(what);
  const rows = () => [...root.querySelectorAll("[data-row]")];
  const query = one(".side-list").dataset.query;

  // An element stays the same one while its place and its text change, so that the focus stays on it.
  function place(parent, children) {
    children.forEach((child, n) => parent.children[n] === child || parent.insertBefore(child, parent.children[n] ?? null));
    while (parent.children.length > children.length) parent.lastElementChild.remove();
  }

  function lay(all) {
    const focused = document.activeElement;
    const box = one(".rows");
    const groups = new Map();
    all.sort((a, b) => (a.dataset.order < b.dataset.order ? 1 : -1));
    for (const row of all) groups.set(row.dataset.heading, [...(groups.get(row.dataset.heading) ?? []), row]);
    const known = [...box.children];
    place(box, [...groups].map(([heading, rows]) => {
      let group = known.find((group) => group.dataset.group === heading);
      if (!group) {
        group = parse('<div><h3 class="day"></h3><ul></ul></div>').firstChild;
        group.dataset.group = group.firstChild.textContent = heading;
      }
      place(group.lastElementChild, rows);
      return group;
    }));
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    show(open);
  }

  // The line as it is now: in the element that shows it already, if there is one.
  function renew(row) {
    const old = one(`[data-row="${row.dataset.row}"]`);
    if (!old) return row;
    const [a, b] = [old.querySelector("a"), row.querySelector("a")];
    if (a.innerHTML !== b.innerHTML) a.innerHTML = b.innerHTML;
    a.title = b.title;
    old.querySelector("input")?.setAttribute("aria-label", a.title);
    Object.assign(old.dataset, row.dataset);
    return old;
  }

  // One after the other, so that no older state is put over a newer one.
  const waiting = new Set();
  let turn = Promise.resolve();
  function refresh(id, read) {
    // Many at once, as when a folder goes: the page is read, and not each of them.
    if (read === line && waiting.size > 20) [id, read] = ["", page];
    if (waiting.has(id)) return;
    waiting.add(id);
    turn = turn.then(() => waiting.delete(id) && read(id)).catch(() => {});
  }

  async function line(id) {
    const known = one(`[data-row="${id}"]`);
    const html = await call("show_row", { thread: id, query, known: !!known }, 10).catch((status) => {
      if (status !== 404) throw status;
    });
    const others = rows().filter((row) => row.dataset.row !== id);
    const row = html && parse(html).firstElementChild;
    // Below the last loaded line there may be others in between: it comes with its page.
    const on = row && (!one(".older a") || others.some((other) => other.dataset.order <= row.dataset.order));
    lay(on ? [...others, renew(row)] : others);
  }

  async function page(after) {
    const { html } = await call("show_list", { query: after || query });
    const read = parse(html);
    const lines = [...read.querySelectorAll("[data-row]")].map(renew);
    const end = lines.at(-1)?.dataset.order;
    const more = read.querySelector(".older a");
    // Of a first page that was read again, what is below it stays.
    const below = !after && more && rows().filter((row) => row.dataset.order < end);
    const kept = after ? rows() : below || [];
    if (!below?.length) one(".older").replaceChildren(...(more ? [more] : []));
    // Whoever took a chat back goes on from its line.
    const back = document.activeElement.closest(".undone form")?.elements["threads[]"].value;
    if (!after) {
      // What stands there already stays, so that it is not heard twice.
      const undone = one(".undone");
      place(undone, [...read.querySelectorAll(".undone form")].map((form) => [...undone.children].find((old) => old.isEqualNode(form)) ?? form));
      hide();
    }
    lay([...new Set([...kept, ...lines])]);
    if (back) one(`[data-row="${back}"] a`)?.focus();
  }

  // What was deleted is offered back for as long as the server keeps it.
  let hiding;
  function hide() {
    clearTimeout(hiding);
    hiding = setTimeout(() => one(".undone")?.replaceChildren(), 30000);
  }

  // Whoever comes back on another day finds the chats under that day's headings.
  let day = new Date().toDateString();
  function seen() {
    if (!document.hidden && day !== (day = new Date().toDateString())) refresh("", page);
    if (open && !document.hidden) call("file_threads", { "threads[]": open, act: "read" }).catch(() => {});
  }

  function show(thread) {
    open = thread;
    for (const link of root.querySelectorAll("a.thread")) {
      if (link.pathname === `/chat/${open}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  // Of several answers only the one to what stands in the box is shown.
  let asked = 0;
  const box = one("[type=search]");
  const told = () => one(".found > p");
  function look(all, wait) {
    const mine = ++asked;
    const search = box.value;
    if (!search.trim()) {
      one(".found").classList.remove("some");
      told().textContent = "";
      one(".hits").textContent = "";
      return;
    }
    setTimeout(async () => {
      if (asked !== mine) return;
      const found = await call("show_found", { query: search, all }, 1).catch(() => ["The search did not work just now. Try it again.", ""]);
      if (asked !== mine) return;
      one(".found").classList.add("some");
      told().textContent = found[0];
      one(".hits").innerHTML = found[1];
    }, wait);
  }
  box.addEventListener("input", () => look(false, 120));
  root.addEventListener("submit", (event) => {
    // Who signs out leaves nothing behind.
    if (event.target.dataset.leave !== undefined) localStorage.clear();
    if (!event.target.matches("[role=search]")) return;
    event.preventDefault();
    look(event.target.dataset.all !== undefined, 0);
  });
  root.addEventListener("click", (event) => {
    const older = event.target.closest(".older a");
    if (!older) return;
    event.preventDefault();
    refresh(older.search, page);
  });
  // What was typed before the page woke up.
  if (box.value !== box.defaultValue) look(false, 0);
  document.addEventListener("visibilitychange", seen);
  hide();

  return {
    // What the stream tells. Without a thread: anything may have happened.
    tell(thread, what) {
      if (what === "changed") {
        refresh(thread, line);
        if (one(`.undone [value="${thread}"]`)) refresh("", page);
      } else if (what === "ended") {
        refresh(thread, line);
        if (thread === open) seen();
      } else {
        if (thread) lay(rows().filter((row) => row.dataset.row !== thread));
        refresh("", page);
      }
    },
    open(thread) {
      show(thread);
      seen();
    },
    end() {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(hiding);
    },
  };
}
