// The faces of the page: their values, their pictures, and the orders they can have.

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

  /** Whether a row changed the expression of a face from one to another; empty: any. */
  changed(row, face, from = "", to = "") {
    const [before, after] = [this.label(face), this.labelOf(row, face)];
    return this.flipped(row, face) && (!from || before === from) && (!to || after === to);
  }

  /** Why a row has no result for a face. A face may be called `constructor`, as all objects have. */
  failure(row, face) {
    const { failed } = this.set.rows[row];
    const id = this.set.ids[face];
    return Object.hasOwn(failed, id) ? failed[id] : null;
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

  /** The address of a face, or of a face at one model. */
  link(face, row = null) {
    const names = [this.set.name, this.set.ids[face], ...(row === null ? [] : [this.set.rows[row].name])];
    return `#face=${names.map(encodeURIComponent).join("/")}`;
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
  const { sort, a, b, label, from, to, onlyFlipped, onlyPictures, search } = settings;
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
    if ((onlyFlipped || from || to) && !models.some((row) => faces.changed(row, face, from, to))) return;
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
