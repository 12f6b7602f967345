// What is shown of a face: its pictures side by side, and what stands under each of them.

/** One picture with its name, its expressions and its numbers. */
function shot(faces, face, row, pictures, kind) {
  const name = kind === "lr" ? "LR, the input" : kind === "hr" ? "HR, the reference" : faces.set.rows[row].name;
  const source = pictures ? (kind === "sr" ? pictures.sr[row] : pictures[kind]) : null;
  const id = faces.set.ids[face];
  const failed = kind === "sr" ? faces.failure(row, face) : null;
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
      make("span", { class: "who" }, kind === "sr" ? make("a", { href: faces.link(face, row) }, name) : name),
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
