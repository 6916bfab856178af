// A copy beside the one that is kept, and both laid on each other.
const dialog = at("compare");
const pane = at("compare-together");
const pen = pane?.getContext("2d", { willReadFrequently: true });
let shownCopy = null;
let together = null; // the pixels of both in the frame of the one kept
let blinking = 0;

// Matrices are rows of nine numbers, that take shares of one picture's width and height to those of another.
const product = (a, b) => a.map((_, i) => [0, 1, 2].reduce((sum, j) => sum + a[i - (i % 3) + j] * b[3 * j + (i % 3)], 0));
const inverse = ([a, b, c, d, e, f, g, h, i]) => {
  const all = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [e * i - f * h, c * h - b * i, b * f - c * e, f * g - d * i, a * i - c * g, c * d - a * f, d * h - e * g, b * g - a * h, a * e - b * d].map((x) => x / all);
};
const asItIs = [1, 0, 0, 0, 1, 0, 0, 0, 1];
const quarter = [0, 1, 0, -1, 0, 1, 0, 0, 1];
const mirror = [-1, 0, 1, 0, 1, 0, 0, 0, 1];

// Where the copy lies in the first keeper's frame, as the details say; null where they do not.
const placeOf = (figure) => {
  if (figure.dataset.transform) return figure.dataset.transform.split(" ").map(Number);
  return figure.dataset.member === "0" ? asItIs : null;
};

const pixelsOf = (image) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(image, 0, 0);
  return brush.getImageData(0, 0, canvas.width, canvas.height);
};

// The pixels as they lie in another frame, transparent where they do not reach.
const laid = (from, matrix, width, height) => {
  const [a, b, c, d, e, f, g, h, i] = inverse(matrix);
  const out = new ImageData(width, height);
  const [last, lowest] = [from.width - 1, from.height - 1];
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      const [u, v] = [(x + 0.5) / width, (y + 0.5) / height];
      const w = g * u + h * v + i;
      const [across, down] = [((a * u + b * v + c) / w) * from.width - 0.5, ((d * u + e * v + f) / w) * from.height - 0.5];
      if (!(across > -1 && down > -1 && across < from.width && down < from.height)) continue;
      const [left, top] = [Math.min(Math.max(Math.floor(across), 0), last), Math.min(Math.max(Math.floor(down), 0), lowest)];
      const [right, bottom] = [Math.min(left + 1, last), Math.min(top + 1, lowest)];
      const [p, q] = [Math.min(Math.max(across - left, 0), 1), Math.min(Math.max(down - top, 0), 1)];
      for (let k = 0; k < 3; k++) {
        const value = (column, row) => from.data[4 * (row * from.width + column) + k];
        out.data[to + k] = (1 - q) * ((1 - p) * value(left, top) + p * value(right, top)) + q * ((1 - p) * value(left, bottom) + p * value(right, bottom));
      }
      out.data[to + 3] = 255;
    }
  }
  return out;
};

// Where no details say how a copy lies, its whole frame is laid on the whole of the other, in the turn that fits best.
const guessed = (keep, copy) => {
  const small = laid(keep, asItIs, 24, 24);
  const turns = [asItIs, quarter, product(quarter, quarter), product(quarter, product(quarter, quarter))];
  const ways = [...turns, ...turns.map((turn) => product(turn, mirror))];
  const misfit = ways.map((way) => laid(copy, way, 24, 24).data.reduce((sum, value, k) => sum + Math.abs(value - small.data[k]), 0));
  const best = misfit.indexOf(Math.min(...misfit));
  return misfit[best] > 0.8 * misfit[0] ? asItIs : ways[best];
};

const wayOf = () => dialog.querySelector("[name=way]:checked").value;

const draw = (share = at("compare-fade").value / 100) => {
  if (!together) return;
  const { base, other } = together;
  const out = new ImageData(base.width, base.height);
  const differs = wayOf() === "difference";
  for (let k = 0; k < out.data.length; k++) {
    if (k % 4 === 3) out.data[k] = 255;
    else if (differs) out.data[k] = other.data[k - (k % 4) + 3] ? 3 * Math.abs(base.data[k] - other.data[k]) : 0;
    else out.data[k] = (1 - share) * base.data[k] + share * other.data[k];
  }
  [pane.width, pane.height] = [base.width, base.height];
  pen.putImageData(out, 0, 0);
};

const play = () => {
  clearInterval(blinking);
  const way = wayOf();
  at("compare-fade").hidden = way !== "fade";
  let share = 0;
  if (way === "blink") blinking = setInterval(() => draw((share = 1 - share)), 500);
  draw(way === "blink" ? 0 : undefined);
};

const lay = (keep, copy, matrix) => {
  const base = pixelsOf(keep);
  const from = pixelsOf(copy);
  const way = matrix ?? guessed(base, from);
  together = { base, other: laid(from, way, base.width, base.height) };
  const isUpright = way[0] > 0 && way[4] > 0 && Math.abs(way[1]) + Math.abs(way[3]) < 0.2;
  at("compare-turn").textContent = isUpright ? "" : " The copy was turned or mirrored to fit.";
  play();
};

const drawn = (boxes, image) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "boxes");
  svg.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
  for (const [left, top, right, bottom] of boxes) {
    const box = document.createElementNS(space, "rect");
    const places = { x: left * image.naturalWidth, y: top * image.naturalHeight, width: (right - left) * image.naturalWidth, height: (bottom - top) * image.naturalHeight };
    for (const [name, value] of Object.entries(places)) box.setAttribute(name, value);
    svg.append(box);
  }
  return svg;
};

const boxesOf = (text) => (text ? text.split(";").map((box) => box.split(" ").map(Number)) : []);

const show = (which, figure) => {
  const inside = figure.querySelector(".frame").firstElementChild.cloneNode(true);
  at(`compare-${which}`).replaceChildren(inside);
  const link = element("a", figure.title);
  link.href = figure.querySelector("a.frame")?.href ?? "#";
  const facts = figure.querySelector(".facts");
  at(`compare-${which}-caption`).replaceChildren(link, element("br"), facts?.textContent ?? "");
  return inside.tagName === "IMG" ? inside : null;
};

const compare = async (figure) => {
  shownCopy = figure;
  const lead = figure.closest(".card").querySelector(".lead-picture");
  const [keep, copy] = [show("keep", lead), show("copy", figure)];
  at("compare-words").textContent = `${figure.querySelector(".label").textContent} ${figure.querySelector(".distance")?.textContent ?? ""}`;
  at("compare-note").textContent = figure.querySelector(".looks")?.textContent ?? "";
  at("compare-turn").textContent = "";
  const closeUp = lead.dataset.member === "0" && figure.querySelector(".close-up");
  at("compare-close-up").replaceChildren(...(closeUp ? [element("p", "Where they differ most, close up: the one kept, and the copy laid on it."), closeUp.cloneNode(true)] : []));
  together = null;
  pane.width = pane.width; // clears it
  document.dispatchEvent(new Event("compared"));
  if (!dialog.open) dialog.showModal();
  if (!keep || !copy) return;
  [keep.loading, copy.loading] = ["eager", "eager"];
  await Promise.all([keep.decode(), copy.decode()]);
  if (shownCopy !== figure || !keep.isConnected) return;
  if (lead.dataset.member === "0") {
    at("compare-keep").append(drawn(boxesOf(figure.dataset.boxesInOther), keep));
    at("compare-copy").append(drawn(boxesOf(figure.dataset.boxes), copy));
  }
  const [inFirst, first] = [placeOf(figure), placeOf(lead)];
  lay(keep, copy, inFirst && first && product(inverse(first), inFirst));
};

const beside = (by) => {
  const copies = [...shownCopy.closest(".card").querySelectorAll(".match")];
  compare(copies[(copies.indexOf(shownCopy) + by + copies.length) % copies.length]);
};

dialog?.addEventListener("change", play);
dialog?.addEventListener("input", (event) => event.target.id === "compare-fade" && draw());
dialog?.addEventListener("close", () => {
  clearInterval(blinking);
  shownCopy.closest(".card").focus({ preventScroll: true });
});
at("duplicates")?.addEventListener("click", (event) => {
  const frame = event.target.closest(".matches .frame");
  if (!frame || !dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  compare(frame.closest(".match"));
});
if (data && dialog) startChoosing();
