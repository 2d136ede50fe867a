// The bubble on somebody's web page: <script src="https://…/widget.js" data-key="…" async></script>. It adds a button and a frame, and
// remembers for this site that it was opened; what is said stays in the frame, which the page can't read.
(() => {
  const script = document.currentScript;
  const key = script?.dataset.key;
  if (!key) return;
  const from = new URL(script.src).origin;
  const button = document.createElement("button");
  const frame = document.createElement("iframe");
  // By properties, which a strict policy for styles allows.
  const dress = (element, style) => Object.assign(element.style, style);
  let news = 0; // lines that came while it was closed
  const wide = () => innerWidth > 480;
  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  // A page that keeps nothing has a bubble all the same.
  const kept = (storage, value) => {
    try {
      if (value === undefined) return storage().getItem(`moat-${key}`) === "1";
      storage().setItem(`moat-${key}`, value ? "1" : "0");
    } catch {
      return false;
    }
  };
  const ever = () => localStorage; // it was opened at all: there may be an answer
  const here = () => sessionStorage; // it is open, on the next page as well
  const load = () => frame.src || (frame.src = `${from}/widget/${encodeURIComponent(key)}`);
  // The frame, once it is there, counts what came while it could not be seen.
  let there = false;
  let entered = false; // by whoever opened it just now, who writes next
  const tell = () => {
    if (!there) return;
    frame.contentWindow.postMessage({ moat: "shown", open: isOpen(), focus: entered }, from);
    entered = false;
  };
  const show = (open) => {
    if (open) load();
    dress(frame, { display: open ? "block" : "none", width: wide() ? "380px" : "100%", right: wide() ? "16px" : "0", height: wide() ? "min(620px, calc(100vh - 96px))" : "calc(100% - 80px)" });
    if (open) news = 0;
    button.textContent = open ? "Close" : `${script.dataset.label || "Ask us"}${news ? ` (${news})` : ""}`;
    button.setAttribute("aria-expanded", String(open));
    tell();
  };
  button.type = "button";
  dress(button, {
    position: "fixed", right: "16px", bottom: "16px", zIndex: "2147483000", minHeight: "44px", padding: "0 18px", border: "0", borderRadius: "22px",
    background: "#2f5fd0", color: "#fff", font: "500 15px system-ui, sans-serif", cursor: "pointer", boxShadow: "0 2px 12px rgb(0 0 0 / 25%)",
  });
  frame.title = script.dataset.label || "Ask us";
  dress(frame, { position: "fixed", bottom: "72px", boxSizing: "border-box", zIndex: "2147483000", border: "1px solid rgb(0 0 0 / 15%)", borderRadius: "10px", background: "Canvas", colorScheme: "light dark", boxShadow: "0 8px 32px rgb(0 0 0 / 25%)" });
  button.addEventListener("click", () => {
    entered = !isOpen();
    show(!isOpen());
    kept(here, isOpen());
    if (isOpen()) kept(ever, true);
    if (isOpen()) frame.focus();
  });
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== from) return;
    if (data?.moat === "here") {
      there = true;
      tell();
    }
    if (data?.moat === "shut") {
      show(false);
      kept(here, false);
      button.focus();
    }
    if (data?.moat !== "news" || isOpen()) return;
    news += Number(data.many) || 0;
    show(false);
  });
  addEventListener("resize", () => show(isOpen()));
  const begin = () => {
    show(kept(here));
    if (kept(ever)) load();
    const place = document.createElement("aside");
    place.setAttribute("aria-label", frame.title);
    place.append(frame, button);
    document.body.append(place);
  };
  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin);
})();
