(() => {
  let cards = [...document.querySelectorAll(".card")];
  let groups = [...document.querySelectorAll("#duplicates .card")];
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");
  let texts = null;

  // What a group can be found by: its words as shown, and the full paths of its pictures.
  const textOf = (group) =>
    [group.textContent, ...[...group.querySelectorAll("figure")].map((figure) => figure.title)].join("\n").toLowerCase();

  const apply = () => {
    texts ??= groups.map(textOf);
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    groups.forEach((group, at) => {
      const match = words.every((word) => texts[at].includes(word));
      group.hidden = !match;
      count += match;
    });
    const all = groups.length.toLocaleString("en");
    shown.value = words.length ? `${count.toLocaleString("en")} of ${all} groups` : `${all} ${groups.length === 1 ? "group" : "groups"}`;
    none.hidden = count > 0;
    document.getElementById("duplicates").scrollIntoView();
  };

  const step = (by, from = document.activeElement?.closest(".card")) => {
    const visible = cards.filter((card) => !card.hidden);
    const at = visible.indexOf(from);
    const next = visible[at < 0 ? (by > 0 ? 0 : visible.length - 1) : at + by];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
    return next;
  };

  // Sorting moves the cards; each keeps its number, which is its place by bytes.
  const orders = {
    bytes: (a, b) => b.dataset.bytes - a.dataset.bytes || a.id.slice(1) - b.id.slice(1),
    farthest: (a, b) => b.dataset.farthest - a.dataset.farthest,
    copies: (a, b) => b.dataset.copies - a.dataset.copies,
    name: (a, b) => a.querySelector(".lead-picture").title.localeCompare(b.querySelector(".lead-picture").title),
  };
  const sort = document.getElementById("sort");
  const arrange = () => {
    groups.sort(orders[sort.value]);
    none.before(...groups);
    cards = [...document.querySelectorAll(".card")];
    texts = null;
    document.getElementById("duplicates").scrollIntoView();
  };
  sort?.addEventListener("change", arrange);

  // The comparison of a copy with its keeper.
  const compare = document.getElementById("compare");
  const at = (id) => document.getElementById(id);
  let shownCopy = null;

  const turned = (image, turn, side) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, side, side);
    pen.translate(side / 2, side / 2);
    pen.rotate(((turn % 4) * Math.PI) / 2);
    pen.scale(turn < 4 ? 1 : -1, 1);
    pen.drawImage(image, -side / 2, -side / 2, side, side);
    return pen.getImageData(0, 0, side, side);
  };
  const apart = (a, b) => a.data.reduce((sum, value, i) => sum + Math.abs(value - b.data[i]), 0);

  // Both are stretched to one square; of the eight turns of the keeper the one that fits the copy best is taken.
  const drawDifference = (keep, copy) => {
    const small = turned(copy, 0, 24);
    const misfit = [...Array(8).keys()].map((turn) => apart(turned(keep, turn, 24), small));
    let best = misfit.indexOf(Math.min(...misfit));
    if (misfit[best] > 0.8 * misfit[0]) best = 0;
    const canvas = at("compare-difference");
    const [first, second] = [turned(keep, best, canvas.width), turned(copy, 0, canvas.width)];
    first.data.forEach((value, i) => {
      if (i % 4 < 3) first.data[i] = Math.min(255, 3 * Math.abs(value - second.data[i]));
    });
    canvas.getContext("2d").putImageData(first, 0, 0);
    at("compare-turn").textContent = best ? " The keeper was turned or mirrored to fit." : "";
  };

  const fill = (which, figure) => {
    const image = figure.querySelector("img");
    at(`compare-${which}`).replaceChildren(figure.querySelector(".frame").firstElementChild.cloneNode(true));
    const link = document.createElement("a");
    link.href = figure.querySelector("a.frame")?.href ?? "#";
    link.textContent = figure.title;
    const facts = figure.querySelector(".facts");
    at(`compare-${which}-caption`).replaceChildren(link, document.createElement("br"), facts?.textContent ?? "");
    return image;
  };

  const open = async (figure) => {
    shownCopy = figure;
    const card = figure.closest(".card");
    const keep = fill("keep", card.querySelector(".lead-picture"));
    const copy = fill("copy", figure);
    at("compare-words").textContent = `${figure.querySelector(".label").textContent} ${figure.querySelector(".distance").textContent}`;
    at("compare-note").textContent = figure.querySelector(".looks")?.textContent ?? "";
    at("compare-difference").getContext("2d").clearRect(0, 0, 320, 320);
    if (!compare.open) compare.showModal();
    if (!keep || !copy) return;
    const [a, b] = [new Image(), new Image()];
    [a.src, b.src] = [keep.src, copy.src];
    await Promise.all([a.decode(), b.decode()]);
    if (shownCopy === figure) drawDifference(a, b);
  };

  const beside = (by) => {
    const copies = [...shownCopy.closest(".card").querySelectorAll(".match")];
    open(copies[(copies.indexOf(shownCopy) + by + copies.length) % copies.length]);
  };

  compare?.addEventListener("close", () => shownCopy.closest(".card").focus({ preventScroll: true }));
  document.getElementById("duplicates")?.addEventListener("click", (event) => {
    const frame = event.target.closest(".matches .frame");
    if (!frame || !compare || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(frame.closest(".match"));
  });

  let waiting;
  filter?.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 80);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (filter && event.target === filter) {
      if (event.key === "Escape") {
        filter.value = "";
        apply();
        filter.blur();
      }
      return;
    }
    if (event.target === sort) return;
    const comparing = compare?.open;
    if (event.key === "j" || event.key === "k") {
      const by = event.key === "j" ? 1 : -1;
      const card = step(by, comparing ? shownCopy.closest(".card") : undefined);
      if (comparing && card) open(card.querySelector(".match"));
    } else if (comparing && event.key === "ArrowRight") beside(1);
    else if (comparing && event.key === "ArrowLeft") beside(-1);
    else if (comparing) return;
    else if (event.key === "Enter" && document.activeElement?.matches("#duplicates .card")) open(document.activeElement.querySelector(".match"));
    else if (event.key === "/" && filter) filter.focus();
    else return;
    event.preventDefault();
  });
  if (filter?.value) apply(); // a reloaded page keeps what was typed
})();
