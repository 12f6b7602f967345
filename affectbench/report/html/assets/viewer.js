// One face: two pictures under a slider, zoom without smoothing, all numbers, and its own address.

const FIT = 0;
const TOOLS = 288; // the width of the tools beside the pictures, as in faces.css
const ZOOMS = [FIT, 1, 2, 4, 8];

class Viewer {
  constructor() {
    this.title = make("h3", { id: "viewer-title", tabindex: "-1", autofocus: true });
    this.body = make("div", { class: "dialog-body" });
    const step = (text, by, name) =>
      make("button", { type: "button", "data-step": name, onclick: () => this.step(by) }, text);
    this.said = make("span", { class: "hidden", role: "status" });
    this.dialog = make(
      "dialog",
      { "aria-labelledby": "viewer-title" },
      make(
        "div",
        { class: "dialog-head" },
        this.title,
        make(
          "div",
          { class: "steps" },
          step("Previous", -1, "previous"),
          step("Next", 1, "next"),
          make("button", { type: "button", "data-copy-link": true, onclick: () => this.copyLink() }, "Copy link"),
          make("button", { type: "button", "data-close": true, onclick: () => this.dialog.close() }, "Close"),
        ),
        this.said,
      ),
      this.body,
    );
    this.dialog.addEventListener("close", () => this.forget());
    this.zoom = FIT;
    this.size = null;
    new ResizeObserver(() => this.size?.()).observe(this.body);
    this.split = 50;
    this.pair = null;
    document.body.append(this.dialog);
  }

  /** Show a face, with the model `row` left of the line and HR right of it if one is named. */
  open(faces, face, row = null) {
    this.faces = faces;
    this.face = face;
    if (row !== null) this.pair = [`sr${row}`, "hr"];
    this.size = null;
    this.title.textContent = `${faces.set.name} / ${faces.set.ids[face]}`;
    this.body.replaceChildren(...this.parts());
    if (!this.dialog.open) this.dialog.showModal();
    this.size?.();
    this.dialog.scrollTop = 0;
  }

  /** The model left of the line, null for another picture. */
  get row() {
    const match = this.pair?.[0].match(/^sr(\d+)$/);
    return match ? Number(match[1]) : null;
  }

  step(by) {
    const order = shown.order.length ? shown.order : this.faces.set.ids.map((id, face) => face);
    const at = order.indexOf(this.face);
    const next = order[(at + by + order.length) % order.length];
    history.replaceState(null, "", this.faces.link(next, this.row));
    this.open(this.faces, next);
  }

  async copyLink() {
    const ok = await copyText(location.href);
    this.said.textContent = ok ? "Link copied." : "The browser did not allow copying.";
  }

  forget() {
    if (location.hash.startsWith("#face=")) history.replaceState(null, "", "#faces");
  }

  parts() {
    const { faces, face } = this;
    const pictures = faces.pictures(face);
    return [this.compare(pictures), strip(faces, face, pictures), this.table()];
  }

  /** Every picture that there is, by the name it has in the two selections. */
  choices(pictures) {
    const found = [["lr", "LR, the input", pictures.lr]];
    this.faces.set.rows.forEach((row, index) => found.push([`sr${index}`, row.name, pictures.sr[index]]));
    found.push(["hr", "HR, the reference", pictures.hr]);
    return found.filter(([, , source]) => source);
  }

  compare(pictures) {
    const choices = pictures ? this.choices(pictures) : [];
    if (choices.length < 2) {
      return make("p", { class: "stage-note" }, "The pictures of this face are not in this page.");
    }
    const keys = choices.map(([key]) => key);
    if (!this.pair || !this.pair.every((key) => keys.includes(key))) {
      this.pair = [keys.includes("sr0") ? "sr0" : keys[0], keys.at(-1)];
    }
    const under = make("img", { class: "under", draggable: "false" });
    const over = make("img", { class: "over", draggable: "false" });
    const viewer = make("div", { class: "viewer" });
    const stack = make("div", { class: "stack" }, under, over, make("span", { class: "seam" }));
    const stage = make("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "The two pictures" }, stack);
    const range = make("input", { type: "range", min: 0, max: 100, step: 1, value: this.split, name: "split" });
    const left = make("select", { name: "left" }, choices.map(([key, name]) => option(key, name)));
    const right = make("select", { name: "right" }, choices.map(([key, name]) => option(key, name)));
    [left.value, right.value] = this.pair;
    const show = () => {
      this.pair = [left.value, right.value];
      for (const [image, key] of [[under, left.value], [over, right.value]]) {
        const [, name, source] = choices.find((choice) => choice[0] === key);
        image.src = source;
        image.alt = `Face ${this.faces.set.ids[this.face]}: ${name}`;
      }
    };
    const move = () => {
      this.split = Number(range.value);
      stack.style.setProperty("--split", `${range.value}%`);
      range.setAttribute("aria-valuetext", `${range.value} % from the left`);
    };
    const size = () => {
      const [width, height] = [reference.naturalWidth || 128, reference.naturalHeight || 128];
      const zoom = this.zoom === FIT ? this.fitting(viewer, width, height) : this.zoom;
      stack.style.width = `${width * zoom}px`;
      stack.style.height = `${height * zoom}px`;
      stage.classList.toggle("zoomed", this.zoom !== FIT);
    };
    const reference = make("img", { src: choices.at(-1)[2], alt: "" });
    reference.addEventListener("load", size);
    const zooms = ZOOMS.map((zoom) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "zoom", value: zoom, checked: zoom === this.zoom, onchange: () => { this.zoom = zoom; size(); } }),
        make("span", {}, zoom === FIT ? "Fit" : `${zoom}×`),
      ),
    );
    left.addEventListener("change", show);
    right.addEventListener("change", show);
    range.addEventListener("input", move);
    followPointer(stack, range);
    show();
    move();
    this.size = size;
    const field = (text, control) => make("label", {}, make("span", { class: "label" }, text), control);
    viewer.append(
      stage,
      make(
        "div",
        { class: "viewer-tools" },
        make("div", { class: "pair" }, field("Left of the line", left), field("Right of the line", right)),
        field("Line between them", range),
        make("fieldset", {}, make("legend", {}, "Zoom"), make("div", { class: "segments" }, zooms)),
        this.links(),
      ),
    );
    return viewer;
  }

  /** The largest zoom at which a picture is all in the dialog, beside or above its tools. */
  fitting(viewer, width, height) {
    const style = getComputedStyle(viewer);
    const columns = style.gridTemplateColumns.split(" ").length;
    const wide = viewer.clientWidth - (columns > 1 ? TOOLS + parseFloat(style.columnGap) : 0);
    const high = innerHeight - 16 - this.dialog.querySelector(".dialog-head").offsetHeight - 40;
    return Math.max(Math.min(wide / width, high / height), 1);
  }

  /** The same face at every model: an address for each, which puts that model left of the line. */
  links() {
    const { faces, face } = this;
    const items = faces.set.rows.map((row, index) => {
      const link = make("a", { href: faces.link(face, index) }, row.name);
      if (this.pair?.[0] === `sr${index}`) link.setAttribute("aria-current", "true");
      return make("li", {}, link);
    });
    return make("nav", { "aria-label": "This face at every model" }, make("span", { class: "label" }, "This face at"), make("ul", { class: "models-of" }, items));
  }

  /** Every number of this face. */
  table() {
    const { faces, face } = this;
    const metrics = faces.set.metrics;
    const head = (text, numeric) => make("th", { scope: "col", class: numeric ? "number" : null }, text);
    const heads = [head("Model")];
    if (faces.judge) heads.push(head("Expression"), head("ECM", true));
    metrics.forEach((metric) => heads.push(head(metric.unit ? `${metric.label} ${metric.unit}` : metric.label, true)));
    const rows = faces.set.rows.map((row, index) => {
      const cells = [make("th", { scope: "row" }, make("a", { href: faces.link(face, index) }, row.name))];
      const number = (text) => cells.push(make("td", { class: "number" }, text));
      if (faces.judge) {
        const said = faces.labelOf(index, face);
        const text = faces.flipped(index, face) ? `${faces.label(face)} → ${said ?? "another"}` : said ?? "kept";
        cells.push(make("td", {}, text));
        number(written(faces.ecm(index, face), 4));
      }
      metrics.forEach((metric) => number(written(valueOf(metric.rows[index], face), metric.digits)));
      return make("tr", {}, cells);
    });
    const by = faces.judge ? `, expressions as ${faces.judge.name} reads them` : "";
    return make(
      "div",
      { class: "frame", tabindex: "0", role: "region", "aria-label": "All numbers of this face" },
      make(
        "table",
        { class: "results" },
        make("caption", {}, `All numbers of this face${by}`),
        make("thead", {}, make("tr", {}, heads)),
        make("tbody", {}, rows),
      ),
    );
  }
}

/** Dragging on the pictures moves the line; the slider stays what keyboards use. */
function followPointer(stack, range) {
  const follow = (event) => {
    const box = stack.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    range.dispatchEvent(new Event("input"));
  };
  stack.addEventListener("pointerdown", (event) => {
    stack.setPointerCapture(event.pointerId);
    follow(event);
  });
  stack.addEventListener("pointermove", (event) => {
    if (stack.hasPointerCapture(event.pointerId)) follow(event);
  });
}

let viewer = null;

/** Open the face that the address names: #face=SET/ID, or #face=SET/ID/MODEL. */
function followAddress() {
  const match = location.hash.match(/^#face=([^/]*)\/(.*?)(?:\/([^/]*))?$/);
  if (!match) {
    viewer?.dialog.close();
    return;
  }
  let names;
  try {
    names = match.slice(1).map((text) => decodeURIComponent(text ?? ""));
  } catch {
    return;
  }
  const faces = browsers.find((one) => one.set.name === names[0]);
  const face = faces ? faces.set.ids.indexOf(names[1]) : -1;
  const row = faces ? faces.set.rows.findIndex((one) => one.name === names[2]) : -1;
  const count = document.querySelector(".count");
  if (face < 0) {
    if (count) count.textContent = `There is no face ${names.slice(0, 2).join("/")} in this report.`;
    return;
  }
  switchTo(faces.set.name);
  viewer ??= new Viewer();
  viewer.open(faces, face, row < 0 ? null : row);
}

if (browsers.length) {
  whenRead(followAddress);
  window.addEventListener("hashchange", followAddress);
}
