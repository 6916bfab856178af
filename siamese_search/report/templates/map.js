"use strict";
// The land is one element, `unit` pixels a cell before it is moved and scaled; the plates lie above it, unscaled.
const map = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const view = byId("view"), land = byId("land"), chosen = byId("chosen"), plates = byId("plates"), list = byId("list");
const unit = 48, most = 220, near = 30;
const sheets = [...land.querySelectorAll("img")];
const acrossSheets = Math.ceil(map.columns / map.side);
let at = { x: 0, y: 0, scale: 1 }, cell = -1, drawn = false;

land.style.width = `${map.columns * unit}px`;
land.style.height = `${map.rows * unit}px`;

const fit = () => Math.min(view.clientWidth / (map.columns * unit), view.clientHeight / (map.rows * unit));
const least = () => Math.min(1, 0.9 * fit());

function decoded(link) {
  try { return decodeURIComponent(link); } catch { return link; }
}

function address(number) {
  return `${map.root.replace(/\/$/, "")}/${map.links[number]}`;
}

function moved(x, y, scale) {
  scale = Math.min(most / unit, Math.max(least(), scale));
  // Some of the land always stays in sight.
  const width = map.columns * unit * scale, height = map.rows * unit * scale;
  const within = (place, size, room) => (size <= room ? (room - size) / 2 : Math.min(room / 2, Math.max(room / 2 - size, place)));
  at = { x: within(x, width, view.clientWidth), y: within(y, height, view.clientHeight), scale };
  if (!drawn) {
    drawn = true;
    requestAnimationFrame(draw);
  }
}

function zoomed(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  const scale = Math.min(most / unit, Math.max(least(), at.scale * factor)), grown = scale / at.scale;
  moved(x - (x - at.x) * grown, y - (y - at.y) * grown, scale);
}

function draw() {
  drawn = false;
  land.style.transform = `translate(${at.x}px, ${at.y}px) scale(${at.scale})`;
  const size = unit * at.scale;
  // Plates are for those who look from afar; where pictures can be seen by themselves they would be in the way.
  const width = Math.max(34, Math.min(76, view.clientWidth / 14));
  const taken = [];
  map.regions.forEach((region, number) => {
    const plate = plates.children[number];
    const x = at.x + (region.column + 0.5) * size - width / 2, y = at.y + (region.row + 0.5) * size - width / 2;
    const free = taken.every(([left, top]) => Math.abs(left - x) > width + 4 || Math.abs(top - y) > width + 4);
    const seen = size < near && free && map.regions.length > 1;
    if (seen) taken.push([x, y]);
    plate.classList.toggle("gone", !seen);
    plate.tabIndex = -1;
    plate.style.transform = `translate(${x}px, ${y}px)`;
    plate.style.width = plate.style.height = `${width}px`;
    framed(plate, region.cell, width - 4);
  });
}

/** Show one cell's picture as the background of an element, `size` pixels wide. */
function framed(element, number, size) {
  const row = Math.floor(number / map.columns), column = number % map.columns;
  const sheet = sheets[Math.floor(row / map.side) * acrossSheets + Math.floor(column / map.side)];
  const columns = Math.min(map.side, map.columns - map.side * Math.floor(column / map.side));
  if (element.dataset.sheet !== "set") {
    element.style.backgroundImage = `url("${sheet.src}")`;
    element.dataset.sheet = "set";
  }
  element.style.backgroundSize = `${columns * size}px auto`;
  element.style.backgroundPosition = `${-(column % map.side) * size}px ${-(row % map.side) * size}px`;
}

function cellAt(x, y) {
  const size = unit * at.scale, column = Math.floor((x - at.x) / size), row = Math.floor((y - at.y) / size);
  const inside = column >= 0 && column < map.columns && row >= 0 && row < map.rows;
  return inside && map.links[row * map.columns + column] ? row * map.columns + column : -1;
}

function choose(number) {
  cell = number;
  chosen.hidden = byId("open").hidden = number < 0;
  if (number < 0) return;
  chosen.style.left = `${(number % map.columns) * unit}px`;
  chosen.style.top = `${Math.floor(number / map.columns) * unit}px`;
  chosen.style.width = chosen.style.height = `${unit}px`;
  chosen.style.outlineWidth = `${3 / at.scale}px`;
  byId("caption").textContent = decoded(map.links[number]);
  byId("open").href = address(number);
}

/** Bring a cell to the middle if it is out of sight. */
function follow(number) {
  const size = unit * at.scale, x = at.x + ((number % map.columns) + 0.5) * size;
  const y = at.y + (Math.floor(number / map.columns) + 0.5) * size;
  if (x < size || y < size || x > view.clientWidth - size || y > view.clientHeight - size) {
    moved(at.x + view.clientWidth / 2 - x, at.y + view.clientHeight / 2 - y, at.scale);
  }
}

function goTo(region) {
  const scale = Math.max(at.scale, Math.min(view.clientWidth, view.clientHeight) / (unit * 1.1 * Math.sqrt(region.count)));
  const size = unit * Math.min(scale, 1.6);
  moved(view.clientWidth / 2 - (region.column + 0.5) * size, view.clientHeight / 2 - (region.row + 0.5) * size, size / unit);
  choose(region.cell);
  view.focus({ preventScroll: true });
}

function showAll() {
  moved(0, 0, fit());
}

// Pointers: one drags, two pinch, and one that hardly moved is a click.
const pointers = new Map();
let travelled = 0, wasPinch = false;
view.addEventListener("pointerdown", (event) => {
  if (event.target.closest(".plate")) return;
  view.setPointerCapture(event.pointerId);
  if (!pointers.size) { travelled = 0; wasPinch = false; }
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
});
const place = (event) => {
  const box = view.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};
view.addEventListener("pointermove", (event) => {
  const now = place(event), before = pointers.get(event.pointerId);
  if (!before) {
    if (event.pointerType === "mouse" && !event.target.closest(".plate") && unit * at.scale > 14) choose(cellAt(now.x, now.y));
    return;
  }
  if (before.known) {
    const others = [...pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, other]) => other);
    if (others.length) {
      wasPinch = true;
      const middle = others[0], apart = (point) => Math.max(10, Math.hypot(point.x - middle.x, point.y - middle.y));
      zoomed(apart(now) / apart(before), (now.x + middle.x) / 2, (now.y + middle.y) / 2);
    } else {
      travelled += Math.hypot(now.x - before.x, now.y - before.y);
      if (travelled > 5) view.classList.add("dragged");
      moved(at.x + now.x - before.x, at.y + now.y - before.y, at.scale);
    }
  }
  pointers.set(event.pointerId, { ...now, known: true });
});
const let_go = (event) => {
  const known = pointers.delete(event.pointerId);
  view.classList.remove("dragged");
  if (!known || event.type === "pointercancel" || travelled > 5 || wasPinch) return;
  const { x, y } = place(event), number = cellAt(x, y);
  if (unit * at.scale < 14) { zoomed(3, x, y); return; } // too small to mean one picture
  // A finger has not seen the name yet: its first touch chooses, the second opens.
  const opens = number >= 0 && (event.pointerType === "mouse" || number === cell);
  choose(number);
  if (opens) window.open(address(number), "_blank", "noopener");
};
view.addEventListener("pointerup", let_go);
view.addEventListener("pointercancel", let_go);
view.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { x, y } = place(event), lines = event.deltaMode === 1 ? 30 : 1;
  zoomed(Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 120 : 500)), x, y);
}, { passive: false });

view.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (steps) {
    const inside = (row, column) => row >= 0 && row < map.rows && column >= 0 && column < map.columns;
    const row = cell < 0 ? Math.floor((map.rows - 1) / 2) : Math.floor(cell / map.columns) + steps[0];
    const column = cell < 0 ? Math.floor((map.columns - 1) / 2) : (cell % map.columns) + steps[1];
    const number = row * map.columns + column;
    if (inside(row, column) && map.links[number]) { choose(number); follow(number); }
  } else if (event.key === "+" || event.key === "=") zoomed(1.4);
  else if (event.key === "-") zoomed(1 / 1.4);
  else if (event.key === "0") showAll();
  else if (event.key === "Enter" && cell >= 0) window.open(address(cell), "_blank", "noopener");
  else if (event.key === "Escape") { choose(-1); showList(false); }
  else return;
  event.preventDefault();
});

function showList(shown) {
  list.hidden = !shown;
  byId("list-button").setAttribute("aria-expanded", String(shown));
  if (shown && !list.children.length) {
    for (const region of map.regions) {
      const button = document.createElement("button"), picture = document.createElement("i"), text = document.createElement("span");
      const count = document.createElement("small");
      button.type = "button";
      text.textContent = decoded(map.links[region.cell]);
      count.textContent = `${region.count.toLocaleString("en")} ${region.count === 1 ? "picture" : "pictures"}`;
      text.append(count);
      button.append(picture, text);
      framed(picture, region.cell, 48);
      button.addEventListener("click", () => { showList(false); goTo(region); });
      list.append(button);
    }
  }
  if (shown) list.firstElementChild?.focus();
}

for (const region of map.regions) {
  const plate = document.createElement("button"), count = document.createElement("b");
  plate.type = "button";
  plate.className = "plate";
  plate.title = decoded(map.links[region.cell]);
  plate.setAttribute("aria-label", `${plate.title} and ${region.count - 1} like it`);
  count.textContent = region.count.toLocaleString("en");
  plate.append(count);
  plate.addEventListener("click", () => goTo(region));
  plates.append(plate);
}
byId("in").addEventListener("click", () => zoomed(1.6));
byId("out").addEventListener("click", () => zoomed(1 / 1.6));
byId("all").addEventListener("click", showAll);
byId("list-button").addEventListener("click", () => showList(list.hidden));
list.addEventListener("keydown", (event) => { if (event.key === "Escape") { showList(false); byId("list-button").focus(); } });
window.addEventListener("resize", () => moved(at.x, at.y, at.scale));
showAll();
