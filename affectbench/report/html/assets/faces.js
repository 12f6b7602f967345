// The face browser: which faces, in which order, and what stands under each of them.

const PAGE = 8;

/** A face's value of a metric as a number; null where there is none. */
function valueOf(values, face) {
  const value = values ? values[face] : null;
  return typeof value === "string" ? Number(value.replace("inf", "Infinity")) : value;
}

function written(value, digits) {
  if (value === null || value === undefined) return "–";
  return Number.isFinite(value) ? value.toFixed(digits) : "∞";
}

class Faces {
  constructor(set, number) {
    this.set = set;
    this.number = number;
    this.embedded = new Set(set.embedded);
    this.models = set.rows.map((row, index) => index).filter((index) => !set.rows[index].anchor);
    if (!this.models.length) this.models = set.rows.map((row, index) => index);
  }

  /** The judge that is switched on, or the first one. */
  get judge() {
    const named = this.set.judges.find((judge) => judge.name === chosen.judge);
    return named || this.set.judges[0] || null;
  }

  ecm(row, face) {
    return this.judge ? valueOf(this.judge.rows[row]?.ecm, face) : null;
  }

  /** How bad a model is on a face: ECM, or the first metric turned so that more is worse. */
  badness(row, face) {
    if (this.judge) return this.ecm(row, face);
    const metric = this.set.metrics[0];
    const value = metric ? valueOf(metric.rows[row], face) : null;
    return value === null ? null : metric.direction === "lower" ? value : -value;
  }

  get measure() {
    return this.judge ? "ECM" : this.set.metrics[0]?.label || "value";
  }

  flipped(row, face) {
    return Boolean(this.judge?.rows[row]?.flipped[face]);
  }

  label(face) {
    const judge = this.judge;
    return judge ? judge.labels[judge.label[face]] ?? null : null;
  }

  labelOf(row, face) {
    const reading = this.judge?.rows[row];
    return reading ? this.judge.labels[reading.label[face]] ?? null : null;
  }

  /** Class probabilities of HR (row null) or SR, null where the records hold none. */
  shares(row, face) {
    const judge = this.judge;
    const flat = row === null ? judge?.p : judge?.rows[row]?.q;
    const k = judge ? judge.classes.length : 0;
    if (!flat || !k || flat[face * k] < 0) return null;
    return flat.slice(face * k, face * k + k).map((value) => value / 1000);
  }

  pictures(face) {
    if (this.embedded.has(face)) {
      const script = document.getElementById(`face-${this.number}-${face}`);
      return script ? JSON.parse(script.textContent) : null;
    }
    if (!this.set.folder) return null;
    const file = `${encodeURIComponent(this.set.ids[face])}.png`;
    const path = (folder) => [this.set.folder, this.set.slug, folder].map(encodeURIComponent).join("/");
    return {
      lr: `${path("lr")}/${file}`,
      hr: `${path("hr")}/${file}`,
      sr: this.set.rows.map((row) => `${path(row.folder)}/${file}`),
    };
  }

  link(face) {
    return `#face=${encodeURIComponent(this.set.name)}/${encodeURIComponent(this.set.ids[face])}`;
  }
}

const SORTS = {
  worst: "Worst first",
  disagreement: "Biggest disagreement of two models",
  flipped: "Flipped expressions first",
  name: "Name",
};

/** Faces in the order that is asked for; those without a value last. */
function ordered(faces, settings) {
  const { sort, a, b, label, onlyFlipped, onlyPictures, search } = settings;
  const models = a === "" ? faces.models : [Number(a)];
  const pair = [a === "" ? faces.models : [Number(a)], b === "" ? faces.models : [Number(b)]];
  const largest = (values) => {
    const known = values.filter((value) => value !== null);
    return known.length ? Math.max(...known) : null;
  };
  const keys = {
    worst: (face) => largest(models.map((row) => faces.badness(row, face))),
    disagreement: (face) => largest(differences(faces, face, pair)),
    flipped: (face) => {
      const turned = models.filter((row) => faces.flipped(row, face));
      return turned.length ? turned.length + (largest(turned.map((r) => faces.badness(r, face))) ?? 0) / 10 : null;
    },
    name: (face) => -face,
  };
  const found = [];
  faces.set.ids.forEach((id, face) => {
    if (label && faces.label(face) !== label) return;
    if (onlyFlipped && !models.some((row) => faces.flipped(row, face))) return;
    if (onlyPictures && !faces.embedded.has(face) && !faces.set.folder) return;
    if (search && !id.toLocaleLowerCase().includes(search)) return;
    found.push([keys[sort](face), face]);
  });
  found.sort(([x, i], [y, j]) => compareKeys(x, y, -1) || i - j);
  return found.map(([, face]) => face);
}

function differences(faces, face, [left, right]) {
  const found = [];
  for (const i of left) {
    for (const j of right) {
      const [x, y] = [faces.badness(i, face), faces.badness(j, face)];
      if (i !== j && x !== null && y !== null) found.push(Math.abs(x - y));
    }
  }
  return found;
}

/** One picture with its name, its expressions and its numbers. */
function shot(faces, face, row, pictures, kind) {
  const name = kind === "lr" ? "LR, the input" : kind === "hr" ? "HR, the reference" : faces.set.rows[row].name;
  const source = pictures ? (kind === "sr" ? pictures.sr[row] : pictures[kind]) : null;
  const id = faces.set.ids[face];
  const failed = kind === "sr" ? faces.set.rows[row].failed[id] : null;
  const flipped = kind === "sr" && faces.flipped(row, face);
  const label = kind === "hr" ? faces.label(face) : kind === "sr" ? faces.labelOf(row, face) : null;
  const said = label ? (flipped ? `${faces.label(face)} → ${label}` : label) : null;
  const picture = source
    ? make("img", { src: source, alt: `Face ${id}: ${name}`, decoding: "async", loading: "lazy" })
    : make("span", { class: "none" }, failed ? "no result" : isReading() && faces.embedded.has(face) ? "…" : "picture not in this page");
  return make(
    "figure",
    { class: flipped ? "shot flipped" : "shot" },
    make("div", { class: "frame-of" }, picture),
    make(
      "figcaption",
      {},
      make("span", { class: "who" }, name),
      said ? make("span", { class: "what" }, flipped ? make("span", { class: "hidden" }, "flipped: ") : null, said) : null,
      kind === "lr" ? null : bars(faces, face, kind === "hr" ? null : row),
      kind === "sr" ? numbers(faces, face, row) : null,
      failed ? make("span", { class: "what" }, failed) : null,
    ),
  );
}

/** A bar for each expression; the tick is the reference's. */
function bars(faces, face, row) {
  const shares = faces.shares(row, face);
  const reference = faces.shares(null, face);
  if (!shares) return null;
  const classes = faces.judge.classes;
  const spoken = classes.map((name, i) => {
    const own = `${name} ${shares[i].toFixed(2)}`;
    return row === null || !reference ? own : `${own} (HR ${reference[i].toFixed(2)})`;
  });
  const lines = classes.map((name, i) => {
    const fill = make("span", { class: "fill" });
    fill.style.width = `${100 * shares[i]}%`;
    const tick = row === null || !reference ? null : make("span", { class: "hr" });
    if (tick) tick.style.left = `${100 * reference[i]}%`;
    return [make("span", {}, name), make("span", { class: "track" }, fill, tick)];
  });
  return make("div", { class: "bars", role: "img", "aria-label": spoken.join(", ") }, lines);
}

function numbers(faces, face, row) {
  const items = [];
  if (faces.judge) items.push(["ECM", written(faces.ecm(row, face), 3)]);
  for (const metric of faces.set.metrics) {
    const value = valueOf(metric.rows[row], face);
    const unit = metric.unit && value !== null ? ` ${metric.unit}` : "";
    items.push([metric.label, written(value, Math.min(metric.digits, 3)) + unit]);
  }
  const list = items.map(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]);
  return make("dl", { class: "figures-of" }, list);
}

function strip(faces, face, pictures) {
  const shots = faces.set.rows.map((row, index) => shot(faces, face, index, pictures, "sr"));
  return make(
    "div",
    { class: "strip", tabindex: "0", role: "group", "aria-label": `Face ${faces.set.ids[face]}: LR, models, HR` },
    shot(faces, face, null, pictures, "lr"),
    shots,
    shot(faces, face, null, pictures, "hr"),
  );
}

function card(faces, face) {
  const pictures = faces.pictures(face);
  const turned = faces.models.filter((row) => faces.flipped(row, face)).length;
  const said = faces.label(face);
  const about = [said ? `reference: ${said}` : null, turned ? `flipped by ${turned} of ${faces.models.length} models` : null];
  const id = faces.set.ids[face];
  return make(
    "article",
    { class: "face", "data-face": id },
    make(
      "div",
      { class: "face-head" },
      make("h3", {}, id),
      make("p", {}, about.filter(Boolean).join("; ")),
      make("a", { class: "face-link", href: faces.link(face), "aria-label": `Open face ${id}` }, "Open"),
    ),
    strip(faces, face, pictures),
  );
}

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
  const search = make("input", { type: "search", name: "search", autocomplete: "off" });
  const second = field("And model", b);
  const form = make(
    "form",
    { class: "controls", "aria-label": "Which faces, in which order" },
    field("Order", sort),
    field("Model", a),
    second,
    field("Expression of the reference", label),
    field("Name contains", search),
    make("div", { class: "checks" }, check("flipped", "Only flipped"), check("pictures", "Only with pictures")),
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
    label.replaceChildren(option("", "any"), ...labels.map((one) => option(one, one)));
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
      onlyFlipped: form.elements.flipped.checked,
      onlyPictures: form.elements.pictures.checked,
      search: search.value.trim().toLocaleLowerCase(),
    });
    shown.count = PAGE;
    list.replaceChildren();
    append(0);
  };
  const append = (from) => {
    const faces = currentFaces();
    const upTo = Math.min(shown.count, shown.order.length);
    list.append(...shown.order.slice(from, upTo).map((face) => card(faces, face)));
    const total = faces.set.ids.length.toLocaleString("en");
    const found = shown.order.length.toLocaleString("en");
    legend.hidden = !faces.judge?.classes.length;
    count.textContent = `${upTo} of ${found} faces that fit, ${total} in all`;
    more.hidden = upTo >= shown.order.length;
  };
  more.addEventListener("click", () => {
    const from = shown.count;
    shown.count += PAGE;
    append(from);
    list.children[from]?.querySelector("a").focus();
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
