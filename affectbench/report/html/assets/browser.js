// The face browser: which faces, in which order, a few at a time.

const PAGE = 8;

const browsers = data.faces.map((set, number) => new Faces(set, number));

/** The faces of the data set that is switched on. */
function currentFaces() {
  return browsers.find((faces) => faces.set.name === chosen.dataset) || browsers[0];
}

const shown = { order: [], count: PAGE };

function startBrowser() {
  const root = document.getElementById("browser");
  if (!root || !browsers.length) return;
  root.hidden = false;
  const field = (text, control) => make("label", {}, make("span", { class: "label" }, text), control);
  const check = (name, text) =>
    make("label", { class: "check" }, make("input", { type: "checkbox", name }), make("span", {}, text));
  const sort = make("select", { name: "sort" }, Object.entries(SORTS).map(([key, text]) => option(key, text)));
  const a = make("select", { name: "a" });
  const b = make("select", { name: "b" });
  const label = make("select", { name: "label" });
  const from = make("select", { name: "from" });
  const to = make("select", { name: "to" });
  const search = make("input", { type: "search", name: "search", autocomplete: "off" });
  const second = field("And model", b);
  const form = make(
    "form",
    { class: "controls", "aria-label": "Which faces, in which order" },
    field("Order", sort),
    field("Model", a),
    second,
    field("Expression of HR", label),
    field("Changed from", from),
    field("to", to),
    field("Name contains", search),
    make("div", { class: "checks" }, check("flipped", "Only changed expressions"), check("pictures", "Only with pictures")),
  );
  const count = make("p", { class: "count", role: "status" });
  const list = make("div", { class: "face-list" });
  const more = make("button", { type: "button", class: "more" }, `Show ${PAGE} more`);
  const legend = make(
    "p",
    { class: "legend" },
    make("span", {}, make("i", { class: "key-bar" }), "what the judge reads on this picture"),
    make("span", {}, make("i", { class: "key-tick" }), "what it reads on HR"),
  );
  root.append(form, legend, count, list, more);

  const fill = () => {
    const faces = currentFaces();
    const names = faces.set.rows.map((row, index) => option(index, row.name));
    a.replaceChildren(option("", "any"), ...names);
    b.replaceChildren(option("", "any"), ...names.map((one) => one.cloneNode(true)));
    const labels = faces.judge ? faces.judge.labels : [];
    for (const select of [label, from, to]) {
      select.replaceChildren(option("", "any"), ...labels.map((one) => option(one, one)));
    }
    from.disabled = to.disabled = !faces.judge;
    form.elements.pictures.checked = faces.set.embedded.length > 0 && !faces.set.folder;
    form.elements.pictures.disabled = !faces.set.embedded.length;
    form.elements.flipped.disabled = !faces.judge;
  };
  const render = () => {
    const faces = currentFaces();
    second.hidden = sort.value !== "disagreement";
    shown.order = ordered(faces, {
      sort: sort.value,
      a: a.value,
      b: b.value,
      label: label.value,
      from: from.value,
      to: to.value,
      onlyFlipped: form.elements.flipped.checked,
      onlyPictures: form.elements.pictures.checked,
      search: search.value.trim().toLocaleLowerCase(),
    });
    shown.count = PAGE;
    list.replaceChildren();
    append(0);
  };
  /** What the two selections of a change ask for, in words. */
  const change = () => {
    if (!from.value && !to.value) return "";
    const by = a.value === "" ? "any model" : currentFaces().set.rows[Number(a.value)].name;
    return `: changed from ${from.value || "any expression"} to ${to.value || "another"} by ${by}`;
  };
  const append = (start) => {
    const faces = currentFaces();
    const upTo = Math.min(shown.count, shown.order.length);
    list.append(...shown.order.slice(start, upTo).map((face) => card(faces, face)));
    const total = faces.set.ids.length.toLocaleString("en");
    const found = shown.order.length.toLocaleString("en");
    legend.hidden = !faces.judge?.classes.length;
    count.textContent = `${upTo} of ${found} faces that fit, ${total} in all${change()}`;
    more.hidden = upTo >= shown.order.length;
  };
  more.addEventListener("click", () => {
    const start = shown.count;
    shown.count += PAGE;
    append(start);
    list.children[start]?.querySelector("a").focus();
  });
  // A text's `change` comes when it is left, too late and once too often; a selection has no need of `input`.
  const isSelection = (event) => event.target.tagName === "SELECT";
  form.addEventListener("input", (event) => isSelection(event) || render());
  form.addEventListener("change", (event) => isSelection(event) && render());
  form.addEventListener("submit", (event) => event.preventDefault());
  whenSwitched(() => {
    fill();
    render();
  });
  if (isReading()) document.addEventListener("DOMContentLoaded", () => refresh(list));
}

/** Put the pictures into the cards that were shown before they were read. */
function refresh(list) {
  const faces = currentFaces();
  for (const [place, old] of [...list.children].entries()) {
    const focused = old.contains(document.activeElement);
    const fresh = card(faces, shown.order[place]);
    old.replaceWith(fresh);
    if (focused) fresh.querySelector("a").focus();
  }
}

/** Whether the pictures, which stand below this script, are still being read. */
function isReading() {
  return document.readyState === "loading";
}

function whenRead(action) {
  if (isReading()) document.addEventListener("DOMContentLoaded", action);
  else action();
}

startBrowser();
