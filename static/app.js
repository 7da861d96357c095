// What pages can do beyond forms and links. Nothing here is needed to read or to act.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const isTyping = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName)) && node.type !== "checkbox";

  // -- Live: parts of the page as the server draws them. Whatever a person opened, chose or typed stays.
  const mine = { DETAILS: ["open"], INPUT: ["value", "checked"], TEXTAREA: ["value"], OPTION: ["selected"] };
  const isMine = (name, node) => (mine[node.tagName] || []).includes(name) && (node.type !== "hidden" || node.name === "token");
  const morph = (id, html) => {
    const old = document.getElementById(id);
    if (!old || old.outerHTML === html) return;
    Idiomorph.morph(old, html, {
      morphStyle: "outerHTML",
      ignoreActiveValue: true,
      restoreFocus: true,
      callbacks: {
        beforeAttributeUpdated: (name, node) => !isMine(name, node),
      },
    });
    ready(document.getElementById(id) || document);
  };
  // What a model says while it says it; the whole answer is drawn when it is stored.
  const speech = { isOver: true };
  const hush = () => {
    const box = $("#speech");
    if (box && speech.isOver) box.hidden = true;
  };
  const speak = ({ at, text, last }) => {
    const box = $("#speech");
    if (!box) return;
    const said = $("pre", box);
    if (at === 0) said.textContent = "";
    said.append(text);
    box.hidden = !said.textContent;
    speech.isOver = last;
    // It may have been drawn before its last piece came.
    if (last) setTimeout(hush, 1000);
  };
  let source, retry;
  const sign = (word, on) => {
    const live = $("#live");
    if (!live) return;
    live.hidden = false;
    live.textContent = word;
    live.classList.toggle("off", !on);
  };
  const connect = () => {
    clearTimeout(retry);
    const address = document.body.dataset.live;
    if (!address || source || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("open", () => sign("Live", true));
    source.addEventListener("part", (event) => {
      const { id, html } = JSON.parse(event.data);
      morph(id, html);
    });
    source.addEventListener("tokens", (event) => speak(JSON.parse(event.data)));
    source.addEventListener("drawn", () => {
      hush();
      document.dispatchEvent(new Event("drawn"));
    });
    source.addEventListener("error", () => {
      sign("Reconnecting", false);
      if (source && source.readyState === EventSource.CLOSED) {
        disconnect();
        retry = setTimeout(connect, 1000);
      }
    });
  };
  const disconnect = () => {
    if (source) source.close();
    source = undefined;
  };
  // A hidden tab holds no stream: browsers open only six per server.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);

  // -- Copying, also where the clipboard is only for secure pages.
  const copy = async (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    event.preventDefault();
    const text = button.dataset.copy || $("pre", button.parentElement).textContent;
    await copy(text);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1200);
  });

  // -- Times that go on: an element with data-since shows how long ago that was.
  const length = (secs) => {
    if (secs < 60) return `${secs.toFixed(0)} s`;
    const [m, h, d] = [Math.floor(secs / 60), Math.floor(secs / 3600), Math.floor(secs / 86400)];
    if (secs < 3600) return `${m}m ${String(Math.floor(secs % 60)).padStart(2, "0")}s`;
    return secs < 86400 ? `${h}h ${String(m % 60).padStart(2, "0")}m` : `${d}d ${h % 24}h`;
  };
  // The server's clock counts: how far this one is off is known from the page.
  const off = Date.now() - Date.parse(document.body.dataset.now);
  setInterval(() => {
    for (const node of all("[data-since]")) node.textContent = length(Math.max(0, (Date.now() - off - Date.parse(node.dataset.since)) / 1000));
  }, 1000);

  // -- Selected rows are counted, all can be chosen at once.
  const count = () => {
    for (const bar of all("[data-bulk]")) {
      const boxes = all("input[name=id]");
      const chosen = boxes.filter((box) => box.checked).length;
      bar.classList.toggle("some", chosen > 0);
      const word = $("[data-count]", bar);
      if (word) word.textContent = `${chosen} selected`;
      const whole = $("[data-all]");
      if (whole) {
        whole.checked = chosen > 0 && chosen === boxes.length;
        whole.indeterminate = chosen > 0 && chosen < boxes.length;
      }
    }
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) for (const box of all("input[name=id]")) box.checked = event.target.checked;
    count();
  });

  // -- Edited arguments are counted, and marked where they stand. Values as they came from the server are the defaults.
  const isEdited = (node) => (node.tagName === "SELECT" ? [...node.options].some((o) => o.selected !== o.defaultSelected) : node.value !== node.defaultValue);
  const edits = (form) => {
    const edited = all("[data-arg]", form).filter(isEdited);
    for (const row of all(".args tr", form)) row.classList.toggle("edited", edited.some((node) => row.contains(node)));
    const many = edited.length;
    const word = $("[data-approve]", form);
    if (word) word.textContent = many === 0 ? "Approve" : many === 1 ? "Approve with 1 edit" : `Approve with ${many} edits`;
  };
  document.addEventListener("input", (event) => {
    const form = event.target.closest("[data-edits]");
    if (form) edits(form);
  });
  document.addEventListener("reset", (event) => setTimeout(() => edits(event.target)));

  // -- Keys.
  let row = -1;
  let gone = 0;
  const rows = () => all("[data-row]").filter((node) => node.offsetParent !== null);
  const step = (by) => {
    const list = rows();
    if (!list.length) return;
    const now = list.findIndex((node) => node.contains(document.activeElement));
    row = Math.max(0, Math.min(list.length - 1, (now < 0 ? (row < 0 ? (by > 0 ? -1 : list.length) : row) : now) + by));
    const link = list[row].matches("a") ? list[row] : $("a[data-open], a", list[row]);
    if (link) link.focus();
    list[row].scrollIntoView({ block: "nearest" });
  };
  const press = (selector) => {
    const link = $(selector);
    if (link) link.click();
    return Boolean(link);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (isTyping(document.activeElement)) document.activeElement.blur();
      else if (!all("details.drop[open]").map((drop) => drop.removeAttribute("open")).length) press("[data-close]");
      return;
    }
    if (isTyping(document.activeElement)) return;
    if (Date.now() - gone < 1500) {
      gone = 0;
      const link = all("[data-go]").find((node) => node.dataset.go === event.key);
      if (link) { event.preventDefault(); link.click(); return; }
    }
    const list = rows();
    const current = list.find((node) => node.contains(document.activeElement));
    const keys = {
      "/": () => { const find = $("[data-find]"); find.focus(); find.select(); },
      "?": () => { const help = $("#keys"); help.togglePopover(); },
      g: () => { gone = Date.now(); },
      j: () => step(1),
      k: () => step(-1),
      x: () => { const box = current && $("input[type=checkbox]", current); if (box) { box.checked = !box.checked; count(); } },
      // To the button, not on it: nobody decides by one key that was meant for something else.
      a: () => { const button = $("[data-key=a]"); const words = $("[data-key-focus]"); if (button) (words && !words.value ? words : button).focus(); },
      d: () => { const button = $("[data-key=d]"); const note = $("[data-key-note]"); if (button) (note.value ? button : note).focus(); },
      e: () => { const first = $("[data-arg]"); if (first) first.focus(); },
      "[": () => press("[data-back]"),
      "]": () => press("[data-on]"),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  // One menu at a time, and none after a click elsewhere.
  document.addEventListener("click", (event) => {
    for (const drop of all("details.drop[open]")) if (!drop.contains(event.target)) drop.removeAttribute("open");
  });

  // -- What only makes sense with a script is shown by it.
  const token = $("input[name=token]");
  const ready = (root) => {
    // Parts come without the token of this browser's forms.
    for (const node of all("input[name=token]", root)) node.value = token.value;
    for (const node of all("[data-copy]", root)) node.hidden = false;
    for (const form of all("[data-edits]", root)) edits(form);
    count();
  };
  const zone = $("[data-zone]");
  if (zone && zone.value === "UTC") {
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const option = all("option", zone).find((node) => node.value === here);
    if (option) option.textContent += " (this browser's)";
  }
  ready(document);
  connect();
})();
