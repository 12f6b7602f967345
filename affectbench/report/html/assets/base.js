// What every part uses: the page's data, elements made without any HTML text, and the switches.

const data = JSON.parse(document.getElementById("data").textContent);

/** An element; text goes in as text, never as HTML. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

function option(value, text) {
  return make("option", { value }, text);
}

const chosen = { dataset: null, convention: null, judge: null };
const listeners = [];

/** Call `listener` now and whenever a switch moves. */
function whenSwitched(listener) {
  listeners.push(listener);
  listener();
}

function startSwitches() {
  const form = document.querySelector(".switches");
  if (!form) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const read = () => {
    for (const name of Object.keys(chosen)) {
      const input = form.querySelector(`input[name="${name}"]:checked`);
      chosen[name] = input ? input.value : null;
    }
    const { intervals, tests } = form.elements;
    document.body.classList.toggle("tests", Boolean(tests?.checked));
    document.body.classList.toggle("no-intervals", intervals ? !intervals.checked : false);
  };
  form.addEventListener("change", () => {
    read();
    for (const listener of listeners) listener();
  });
  read();
}

/** Move the switch of the data set, for a link that names a face of another one. */
function switchTo(dataset) {
  const inputs = [...document.querySelectorAll('.switches input[name="dataset"]')];
  const input = inputs.find((one) => one.value === dataset);
  if (!input || input.checked) return;
  input.checked = true;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Whether something that belongs to one data set, convention or judge is to be seen. */
function isShown(element, names) {
  return names.every((name) => {
    const own = element.dataset[name];
    if (own === undefined || chosen[name] === null) return true;
    if (name === "judge" && chosen.judge === "" && !element.classList.contains("view")) return true;
    return own === chosen[name];
  });
}

startSwitches();
whenSwitched(() => {
  for (const view of document.querySelectorAll(".view")) {
    view.hidden = !isShown(view, ["dataset", "convention", "judge"]);
  }
  for (const part of document.querySelectorAll(".plot, .absent")) {
    part.hidden = !isShown(part, ["dataset", "judge"]);
  }
});
