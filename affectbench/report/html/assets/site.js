// The leaderboard pages: which measure of quality the plot shows, and which columns the table has.

function startPlots(section) {
  const form = section.querySelector("form.quality");
  const figures = [...section.querySelectorAll(".main-plot")];
  if (!form || figures.length < 2) return;
  const show = () => {
    const choice = form.querySelector("input:checked").value;
    for (const figure of figures) figure.hidden = figure.dataset.plot !== choice;
  };
  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

/** A group shows its columns; the menu, whose ticks follow the group, shows any. */
function startChooser(form) {
  const table = document.getElementById(form.dataset.table).closest("table");
  const groups = JSON.parse(table.dataset.groups);
  const heads = [...table.tHead.rows[0].cells];
  const ticks = [...form.querySelectorAll("input[name=column]")];
  const show = () => {
    const names = new Set(ticks.filter((tick) => tick.checked).map((tick) => tick.value));
    heads.forEach((head, index) => {
      const name = head.dataset.column;
      if (name === undefined) return;
      for (const row of table.rows) row.cells[index]?.classList.toggle("off", !names.has(name));
    });
  };
  const choose = () => {
    const radio = form.querySelector("input[type=radio]:checked");
    if (!radio) return;
    const names = new Set(groups[Number(radio.value)]);
    for (const tick of ticks) tick.checked = names.has(tick.value);
    table.closest(".frame").scrollLeft = 0;
    show();
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (target.name === "intervals") table.classList.toggle("with-intervals", target.checked);
    else if (target.name === "column") {
      for (const radio of form.querySelectorAll("input[type=radio]")) radio.checked = false;
      show();
    } else choose();
  });
  choose();
}

for (const section of document.querySelectorAll(".first-look")) startPlots(section);
for (const form of document.querySelectorAll("form.chooser")) startChooser(form);
