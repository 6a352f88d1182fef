"use strict";
// The table of items. What models and data wrote is only ever set as text: nothing of it is markup.
(() => {
  const SIZE = 50;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const table = find("table"), body = table.tBodies[0];
  const search = find("search"), state = find("state");
  let shown = data.items, page = 0, sorted = { by: null, up: true };

  const make = (tag, words, kind) => {
    const made = document.createElement(tag);
    if (words !== undefined) made.textContent = words;
    if (kind) made.className = kind;
    return made;
  };
  const text = (number) => (number === null ? "" : data.texts[number]);
  const brief = (item) => (item.error || text(item.answer).replace(/[{}"]/g, ""))
    .replace(/\s+/g, " ").trim().slice(0, 160);

  const searched = (item) => {
    item.all ??= [item.key, item.state, item.error, text(item.answer), item.note,
      ...item.prompt.map((turn) => text(turn[1])),
      ...item.tries.flatMap((each) => [each[1], each[2], each[7], text(each[8])]),
    ].join("\n").toLowerCase();
    return item.all;
  };

  const section = (into, title, words) => {
    into.append(make("h3", title), make("pre", words));
  };

  const attempts = (tries) => {
    const made = make("table"), head = made.createTHead().insertRow(), rows = made.createTBody();
    const names = ["sent (UTC)", "outcome", "model", "took", "in", "out", "cost"];
    names.forEach((name, place) => {
      const cell = make("th", name, place > 2 ? "n" : "");
      cell.scope = "col";
      head.append(cell);
    });
    for (const each of tries) {
      const row = rows.insertRow();
      each.slice(0, 7).forEach((value, place) => {
        const words = typeof value === "number" ? value.toLocaleString("en") : value;
        row.append(make("td", words, place > 2 ? "n" : ""));
      });
      for (const words of [each[7], text(each[8])].filter(Boolean)) {
        const cell = rows.insertRow().insertCell();
        cell.colSpan = names.length;
        cell.append(make("pre", words));
      }
    }
    return made;
  };

  const inner = (item) => {
    const made = make("div", undefined, "inner");
    if (item.note) section(made, "prompt", item.note);
    for (const [role, words] of item.prompt) section(made, `prompt, ${role}`, text(words));
    if (item.error) section(made, "why", item.error);
    if (item.answer !== null) section(made, "answer", text(item.answer));
    if (item.tries.length) {
      const scroll = make("div", undefined, "scroll");
      scroll.append(attempts(item.tries));
      made.append(make("h3", "attempts"), scroll);
    }
    return made;
  };

  const toggle = (row, button, item) => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      row.nextElementSibling.remove();
      return;
    }
    const opened = make("tr"), cell = opened.insertCell();
    cell.colSpan = 5;
    cell.append(inner(item));
    row.after(opened);
  };

  const line = (item) => {
    const row = make("tr"), key = make("th"), button = make("button", item.key, "open");
    key.scope = "row";
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => toggle(row, button, item));
    key.append(button);
    const tone = item.good ? "good" : item.state === "pending" ? "rest" : "bad";
    const badge = make("td");
    badge.append(make("span", item.state, `badge ${tone}`));
    row.append(key, badge, make("td", brief(item)),
      make("td", item.attempts.toLocaleString("en"), "n"), make("td", item.cost, "n"));
    return row;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / SIZE));
    page = Math.min(page, pages - 1);
    body.replaceChildren(...shown.slice(page * SIZE, (page + 1) * SIZE).map(line));
    find("count").textContent = `${shown.length.toLocaleString("en")} found`;
    find("page").textContent = `${page + 1} of ${pages.toLocaleString("en")}`;
    find("before").disabled = page === 0;
    find("after").disabled = page === pages - 1;
  };

  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = data.items.filter((item) => (!state.value || item.state === state.value)
      && words.every((word) => searched(item).includes(word)));
    if (sorted.by) {
      const { by, up } = sorted, sign = up ? 1 : -1;
      shown.sort((one, other) => (one[by] < other[by] ? -sign : one[by] > other[by] ? sign : 0));
    }
    page = 0;
    draw();
  };

  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const by = button.dataset.sort;
      const firstUp = by === "key" || by === "state";
      sorted = { by, up: sorted.by === by ? !sorted.up : firstUp };
      for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      button.parentElement.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      choose();
    });
  }
  const counts = new Map();
  for (const item of data.items) counts.set(item.state, (counts.get(item.state) ?? 0) + 1);
  for (const [name, count] of counts) {
    const option = make("option", `${name} (${count.toLocaleString("en")})`);
    option.value = name;
    state.append(option);
  }
  search.addEventListener("input", choose);
  state.addEventListener("change", choose);
  find("before").addEventListener("click", () => { page -= 1; draw(); });
  find("after").addEventListener("click", () => { page += 1; draw(); });
  table.hidden = false;
  document.querySelector(".controls").hidden = false;
  document.querySelector(".pages").hidden = data.items.length <= SIZE;
  draw();
})();
