/* What makes a page live: a socket that only says "something changed", and a morph that keeps what a person has open.

   Nothing is polled. When the socket was away, the page is fetched once after it is back, because nobody heard what
   happened in between. */
(() => {
  "use strict";

  const FIRST_WAIT = 500, LONGEST_WAIT = 15000, BETWEEN_FETCHES = 500;
  const page = () => document.getElementById("page");
  const watched = () => (page()?.dataset.live || "").split(" ").filter(Boolean);
  let socket = null, wait = FIRST_WAIT, said = "", leaving = false;

  /* At once after a quiet moment, then twice a second at most; a page that nobody looks at waits until somebody does. */
  let due = null, fetched = 0, missed = false;
  function refresh() {
    due ??= setTimeout(() => {
      due = null;
      missed = document.hidden;
      if (missed || !page()) return;
      fetched = Date.now();
      htmx.trigger(page(), "changed");
    }, Math.max(0, fetched + BETWEEN_FETCHES - Date.now()));
  }

  function watch() {
    const groups = watched();
    if (socket?.readyState !== WebSocket.OPEN || groups.join(" ") === said) return;
    said = groups.join(" ");
    socket.send(JSON.stringify({ watch: groups }));
  }

  function connect() {
    if (!watched().length) return;
    socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live");
    said = "";
    socket.onopen = watch;
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.changed) return refresh();
      wait = FIRST_WAIT; // it let us in
      document.getElementById("away").hidden = true;
      if (page().dataset.seen === said) return;
      page().dataset.seen = said;
      refresh(); // whatever changed before the hub listened for us was heard by nobody
    };
    socket.onclose = (event) => {
      if (leaving) return;
      if (event.code === 4403) return location.reload();
      if (page()) delete page().dataset.seen;
      document.getElementById("away").hidden = false;
      setTimeout(connect, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
  }

  /* A form that somebody has begun to fill in is left alone by what comes in live, and so is a refusal not yet read. */
  const begun = (form) => Array.from(form.elements).some((field) => {
    if (field === document.activeElement && field.matches("input, select, textarea")) return true;
    if (field.type === "hidden" || field.type === "submit") return false;
    if (field.matches("select")) return Array.from(field.options).some((o) => o.selected !== o.defaultSelected && o.index > 0);
    return "defaultValue" in field && field.value !== field.defaultValue;
  });

  const keep = {
    beforeNodeMorphed: (old, fresh) => !(old.nodeName === "FORM" && fresh && begun(old)),
    beforeNodeRemoved: (old) => !(old.nodeType === 1 && old.matches("[data-keep]")),
    beforeAttributeUpdated: (name, node) =>
      !(name === "open" && node.nodeName === "DETAILS") && !(name === "data-seen"),
  };

  htmx.defineExtension("calm", {
    isInlineSwap: (style) => style === "calm" || style === "answer",
    handleSwap: (style, target, fragment) => {
      if (style !== "calm" && style !== "answer") return false;
      const fresh = fragment.firstElementChild || fragment;
      const log = target.querySelector(".log");
      const atEnd = log && log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      const callbacks = style === "calm" ? keep : { beforeAttributeUpdated: keep.beforeAttributeUpdated };
      const swapped = Idiomorph.morph(target, fresh, { morphStyle: "outerHTML", callbacks });
      const after = document.querySelector("#page .log");
      if (atEnd && after) after.scrollTop = after.scrollHeight;
      tell();
      watch();
      return swapped;
    },
  });

  /* Times are written out as of now, and again now and then. */
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
  function ago(seconds) {
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || ["s", 1];
    const text = `${Math.floor(Math.abs(seconds) / size)} ${unit}`;
    if (Math.abs(seconds) < 10) return "just now";
    return seconds < 0 ? `in ${text}` : `${text} ago`;
  }
  function tell() {
    document.querySelectorAll("time[data-ago]").forEach((time) => {
      time.textContent = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent.trim())
      .then(() => { button.textContent = "Copied"; });
  });
  document.addEventListener("visibilitychange", () => { if (missed) refresh(); });
  addEventListener("beforeunload", () => { leaving = true; });
  addEventListener("pageshow", () => { leaving = false; });
  setInterval(tell, 15000);
  document.addEventListener("DOMContentLoaded", () => {
    const log = document.querySelector("#page .log");
    if (log) log.scrollTop = log.scrollHeight;
    tell();
    connect();
  });
})();
