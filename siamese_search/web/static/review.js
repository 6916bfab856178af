"use strict";
const at = (id) => document.getElementById(id);
let state = null;
let busy = false;

const line = (x, top, bottom, kind) => {
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const place = (1000 * x) / state.limit;
  for (const [name, value] of Object.entries({ x1: place, x2: place, y1: top, y2: bottom, class: kind })) mark.setAttribute(name, value);
  return mark;
};

// Answers above the axis where they were "same", below it where they were "different".
const draw = () => {
  const axis = line(0, 32, 32, "axis");
  axis.setAttribute("x2", 1000);
  const marks = state.known.filter(([distance]) => distance <= state.limit).map(([distance, answer]) => (answer === "different" ? line(distance, 38, 52, answer) : line(distance, 12, 26, answer)));
  at("plot").replaceChildren(axis, ...marks, line(state.threshold, 4, 60, "threshold"), line(state.guess, 4, 60, "guess"));
  if (state.pair) at("plot").append(line(state.pair.distance, 24, 40, "now"));
  const here = state.pair ? `This pair is ${state.pair.distance.toFixed(3)} apart. ` : "";
  at("plot-words").textContent = `${here}Same above the line, different below it; dashed where one seems to turn into the other.`;
};

const picture = (which) => {
  const told = state.pair[which];
  const image = at(`${which}-picture`);
  const gone = image.nextElementSibling;
  image.hidden = false;
  gone.hidden = true;
  image.onerror = () => {
    image.hidden = true;
    gone.hidden = false;
    gone.textContent = "This picture can no longer be read. Skip it.";
  };
  image.src = `picture/${told.id}`;
  for (const part of ["name", "folder", "facts"]) at(`${which}-${part}`).textContent = told[part];
};

const show = (next) => {
  state = next;
  at("same").textContent = state.same;
  at("different").textContent = state.different;
  at("left").textContent = state.left.toLocaleString("en");
  at("standing").textContent = state.standing;
  at("standing").classList.toggle("enough", state.enough);
  at("question").hidden = !state.pair;
  at("end").hidden = Boolean(state.pair);
  if (!state.pair) return;
  view("side");
  picture("first");
  picture("second");
  draw();
};

const ask = async (address, body) => {
  if (busy) return;
  busy = true;
  try {
    const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const reply = await fetch(address, options);
    if (!reply.ok) throw new Error(await reply.text());
    at("trouble").hidden = true;
    show(await reply.json());
  } catch (error) {
    at("trouble").textContent = `The answer was not stored: ${error.message}. Is simsearch review still running?`;
    at("trouble").hidden = false;
  } finally {
    busy = false;
  }
};

const say = (answer) => state?.pair && ask("answer", { first: state.pair.first.id, second: state.pair.second.id, answer });
const back = () => ask("back", {});
const view = (kind) => {
  at("question").dataset.view = kind;
  at("view").setAttribute("aria-pressed", String(kind === "difference"));
};
const toggle = () => view(at("question").dataset.view === "side" ? "difference" : "side");

const keys = { s: () => say("same"), d: () => say("different"), " ": () => say(null), z: back, x: toggle };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (!(key in keys)) return;
  event.preventDefault();
  keys[key]();
});
at("say-same").onclick = () => say("same");
at("say-different").onclick = () => say("different");
at("say-skip").onclick = () => say(null);
at("say-back").onclick = back;
at("end-back").onclick = back;
at("view").onclick = toggle;
ask("question");
