"use strict";
/* The search page. What was found is kept, and sliders and filters show it anew without asking the server again. */

const ASKED = 200; // hits that are asked for: what the sliders choose from
const KINDS = {
  same: "The same picture",
  altered: "The same, but a part differs",
  alike: "Looks alike",
  nearest: "Further away",
};
let pictures = []; // searched with: { item } or { upload } or { file }, with name and address
let found = null; // what the server said
let shown = []; // the hits on the page, in its order
let folders = []; // of all that was found
let compared = -1; // the place in `shown` of the one in the dialog
let number = 0; // of the last question: an answer to an earlier one is late

const thumbnail = (id, size) => `/api/items/${id}/thumbnail?size=${size}`;

const trouble = (error) => {
  at("trouble").textContent = error ? `That did not work: ${error.message ?? error}` : "";
  at("trouble").hidden = !error;
};

/* -- asking */

const search = async ({ remember = true } = {}) => {
  const mine = ++number;
  trouble(null);
  at("busy").textContent = "Searching…";
  try {
    const fresh = pictures.filter((picture) => picture.file);
    let reply = null;
    for (const picture of fresh) {
      const sent = await ask(`/api/search?k=${ASKED}`, {
        method: "POST",
        headers: { "Content-Type": picture.file.type.startsWith("image/") ? picture.file.type : "application/octet-stream" },
        body: picture.file,
      });
      picture.upload = sent.upload;
      delete picture.file;
      if (pictures.length === 1) reply = sent;
    }
    reply ??= await post("/api/search", {
      items: pictures.filter((picture) => picture.item).map((picture) => picture.item),
      uploads: pictures.filter((picture) => picture.upload).map((picture) => picture.upload),
      k: ASKED,
    });
    if (mine !== number) return;
    found = reply;
    if (remember) history.pushState(null, "", address());
    await name();
    show({ whole: true });
  } catch (error) {
    if (mine !== number) return;
    pictures = pictures.filter((picture) => !picture.file);
    trouble(error);
    if (!pictures.length) begin();
  } finally {
    if (mine === number) at("busy").textContent = "";
  }
};

const address = () => {
  const query = new URLSearchParams();
  for (const picture of pictures) query.append(picture.item ? "item" : "upload", picture.item ?? picture.upload);
  return pictures.length ? `/?${query}` : "/";
};

const name = async () => {
  for (const picture of pictures) {
    if (!picture.item || picture.name) continue;
    const item = await ask(`/api/items/${picture.item}`);
    Object.assign(picture, { name: item.name, details: item });
  }
};

const read = () => {
  const query = new URLSearchParams(location.search);
  const before = new Map(pictures.map((picture) => [picture.upload, picture]));
  pictures = [
    ...query.getAll("item").map((id) => ({ item: Number(id), source: thumbnail(Number(id), 1400) })),
    ...query.getAll("upload").map((upload) => before.get(upload) ?? kept.get(upload)).filter(Boolean),
  ];
  if (pictures.length) search({ remember: false });
  else begin();
};

const kept = new Map(); // what was sent from this page, by the name the server gave it

const searchWithFiles = async (files, { more = false } = {}) => {
  const images = [...files].filter((file) => file.type.startsWith("image/") || file.type === "");
  if (!images.length) {
    trouble("that is no picture");
    return;
  }
  const added = images.slice(0, 8).map((file) => ({ file, name: file.name || "pasted picture", source: URL.createObjectURL(file) }));
  pictures = more ? [...pictures, ...added] : added;
  await search();
  for (const picture of added) if (picture.upload) kept.set(picture.upload, picture);
};

const searchWithItem = (id, words) => {
  pictures = [{ item: id, name: words, source: thumbnail(id, 1400) }];
  search();
  scrollTo({ top: 0 });
};

const begin = () => {
  number += 1;
  found = null;
  pictures = [];
  at("found").hidden = true;
  at("ask").hidden = false;
  showStart().catch(trouble);
  document.title = "Search · simsearch";
};

/* -- showing */

const limits = () => ({ same: Number(at("limit").value), alike: found.queries[0].alike === null ? null : Number(at("alike").value) });

/* What a hit is: as the details say, until a slider is moved; then by its distance. */
const kindOf = (hit) => {
  const { same, alike } = limits();
  if (!at("controls").dataset.moved) return hit.kind;
  if (hit.distance <= same) return "same";
  return alike === null || hit.distance <= alike ? "alike" : "nearest";
};

const hits = () => found.queries[0].hits.filter((hit) => hit.item && !pictures.some((picture) => picture.item === hit.item.id));

/* A folder from the last one on that all pictures share: where it lies is known. */
const within = (folder) => {
  const parts = folders.map((each) => each.split("/"));
  let shared = 0;
  while (parts.length > 1 && parts.every((each) => each[shared] !== undefined && each[shared] === parts[0][shared])) shared += 1;
  return folder.split("/").slice(Math.max(0, shared - 1)).join("/") || "/";
};

const passes = (hit) => {
  const item = hit.item;
  const words = at("name").value.toLowerCase().split(/\s+/).filter(Boolean);
  const path = `${item.folder}/${item.name}`.toLowerCase();
  return (
    (!at("folder").value || item.folder === at("folder").value || item.folder.startsWith(`${at("folder").value}/`)) &&
    (!at("from").value || day(item.modified) >= at("from").value) &&
    (!at("to").value || (item.modified && day(item.modified) <= at("to").value)) &&
    (!at("kind").value || item.format === at("kind").value) &&
    words.every((word) => path.includes(word))
  );
};

const fill = (select, values, words = (value) => value) => {
  const chosen = select.value;
  select.replaceChildren(make("option", { value: "", textContent: "all" }), ...values.map((value) => make("option", { value, textContent: words(value) })));
  select.value = values.includes(chosen) ? chosen : "";
};

const card = (hit, place) => {
  const item = hit.item;
  const picture = make("img", { src: thumbnail(item.id, 320), alt: item.name, loading: "lazy", decoding: "async" });
  picture.onerror = () => picture.replaceWith("This picture can no longer be read.");
  const link = make("a", { href: `/?item=${item.id}`, title: `Search with ${item.name}` }, picture);
  link.dataset.place = place;
  const compare = make("button", { type: "button", textContent: "Compare" });
  compare.setAttribute("aria-label", `Compare ${item.name}`);
  compare.onclick = () => openCompare(place);
  link.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    searchWithItem(item.id, item.name);
  };
  const facts = [hit.distance.toFixed(3), `${item.width} × ${item.height}`, bytes(item.size)].join(" · ");
  return make(
    "li",
    { className: "card" },
    link,
    make(
      "div",
      { className: "words" },
      make("b", { textContent: item.name, title: item.name }),
      make("span", { className: "folder", title: item.folder, textContent: within(item.folder) }),
      make("span", { textContent: facts }),
      compare,
    ),
  );
};

const nearestWords = () => {
  if (pictures.length > 1) return "Nearest to all of these together";
  return found.queries[0].alike === null ? "The nearest of the others" : KINDS.nearest;
};

const line = (words) => make("p", { className: "limit", textContent: words });

const show = ({ whole = false } = {}) => {
  if (!found) return;
  if (whole) reset();
  for (const id of ["ask", "start", "empty"]) at(id).hidden = true;
  at("found").hidden = false;
  at("k-value").textContent = at("k").value;
  at("limit-value").textContent = Number(at("limit").value).toFixed(3);
  at("alike-value").textContent = Number(at("alike").value).toFixed(3);
  const nearest = hits().filter(passes).slice(0, Number(at("k").value));
  const groups = Object.keys(KINDS).map((kind) => [kind, nearest.filter((hit) => kindOf(hit) === kind)]);
  shown = groups.flatMap(([, some]) => some);
  const { same, alike } = limits();
  const parts = [];
  let place = 0;
  let limitDrawn = false;
  let alikeDrawn = alike === null;
  for (const [kind, some] of groups) {
    if (!some.length) continue;
    if (!limitDrawn && kind !== "same" && kind !== "altered" && pictures.length === 1) {
      const looked = !at("controls").dataset.moved;
      const above = parts.length ? "above: the details agree" : "nothing whose details agree";
      parts.push(line(looked ? `${above}; looked at up to a distance of ${found.threshold.toFixed(3)}` : `up to ${same.toFixed(3)} it is the same picture, by distance alone`));
      limitDrawn = true;
    }
    if (!alikeDrawn && kind === "nearest") {
      parts.push(line(`up to ${alike.toFixed(3)} it looks alike`));
      alikeDrawn = true;
    }
    const list = make("ul", { className: "grid" }, ...some.map((hit) => card(hit, place++)));
    const title = make("h2", {}, kind === "nearest" ? nearestWords() : KINDS[kind], make("span", { className: "soft", textContent: counted(some.length, "picture") }));
    const group = make("section", { className: "group" }, title, list);
    group.dataset.kind = kind;
    parts.push(group);
  }
  at("results").replaceChildren(...parts);
  at("summary").textContent = words(Object.fromEntries(groups.map(([kind, some]) => [kind, some.length])));
  document.title = `${pictures.map((picture) => picture.name).join(" + ")} · simsearch`;
  at("pictures").replaceChildren(...pictures.map(chip));
};

const words = (counts) => {
  if (!shown.length) return hits().length ? "Nothing passes the filters." : "Nothing else is in the gallery.";
  if (pictures.length > 1) return `${counted(shown.length, "picture")}, by their distance from what lies between these.`;
  const same = counts.same + counts.altered;
  const start = same ? `The same picture ${counted(same, "time")}` : "Not in the gallery";
  const nothing = found.queries[0].alike === null ? "" : ", nor anything like it";
  if (!same && !counts.alike) return `${start}${nothing}; these are the nearest.`;
  return counts.alike ? `${start}; ${counted(counts.alike, "picture looks", "pictures look")} alike.` : `${start}.`;
};

const chip = (picture) => {
  const remove = make("button", { type: "button", textContent: "×" });
  remove.setAttribute("aria-label", `Search without ${picture.name}`);
  remove.onclick = () => {
    pictures = pictures.filter((other) => other !== picture);
    if (pictures.length) search();
    else startAnew();
  };
  return make("li", {}, make("img", { src: picture.item ? thumbnail(picture.item, 320) : picture.source, alt: "" }), make("span", { textContent: picture.name ?? "" }), pictures.length > 1 ? remove : null);
};

const reset = () => {
  delete at("controls").dataset.moved;
  const farthest = found.queries[0].alike;
  at("k").value = 50;
  at("limit").value = at("controls").dataset.threshold || found.threshold;
  at("alike").value = farthest ?? 0;
  at("alike-part").hidden = farthest === null;
  at("limit-part").hidden = pictures.length > 1; // nothing is the same picture as several together
  for (const id of ["from", "to", "name"]) at(id).value = "";
  const all = hits();
  folders = [...new Set(all.map((hit) => hit.item.folder))].sort();
  fill(at("folder"), folders, within);
  fill(at("kind"), [...new Set(all.map((hit) => hit.item.format))].sort());
  at("folder").value = at("kind").value = "";
};

const startAnew = () => {
  history.pushState(null, "", "/");
  begin();
  document.querySelector("#file").focus();
};

/* -- the gallery to pick from */

let after = null;
let listing = 0;

const tile = (item) => {
  const picture = make("img", { src: thumbnail(item.id, 160), alt: item.name, loading: "lazy" });
  const link = make("a", { href: `/?item=${item.id}`, title: `${item.folder}/${item.name}` }, picture);
  picture.onerror = () => link.parentElement?.remove();
  link.onclick = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    at("picker").close();
    searchWithItem(item.id, item.name);
  };
  return make("li", {}, link);
};

const list = async ({ more = false } = {}) => {
  const mine = ++listing;
  const query = new URLSearchParams({ limit: 60, q: at("words").value });
  if (more && after !== null) query.set("after", after);
  const page = await ask(`/api/items?${query}`);
  if (mine !== listing) return;
  const tiles = page.items.map(tile);
  const places = (list) => [...list].map((one) => one.firstChild.href).join();
  if (more) at("picker-list").append(...tiles);
  else if (places(tiles) !== places(at("picker-list").children)) at("picker-list").replaceChildren(...tiles); // else what has the focus stays
  after = page.next;
  at("picker-more").hidden = after === null;
  const shown = at("picker-list").children.length;
  const more_ = after === null ? "" : " and more"; // nobody counts what has the words in its path
  at("picker-count").textContent = page.total === null ? `${counted(shown, "picture")}${more_}` : counted(page.total, "picture");
};

/* What is shown before anything is searched with: the pictures indexed last. */
const showStart = async () => {
  const page = await ask("/api/items?limit=32");
  at("start-list").replaceChildren(...page.items.map(tile));
  at("start-count").textContent = counted(page.total, "picture");
  at("start").hidden = found !== null || !page.total;
  at("empty").hidden = page.total > 0;
};

const openPicker = () => {
  at("picker").showModal();
  list().catch(trouble);
};

/* -- two pictures side by side, and one laid on the other */

const openCompare = async (place) => {
  compared = place;
  const hit = shown[place];
  const query = pictures[0];
  if (!at("compare").open) at("compare").showModal();
  view("side");
  at("before").disabled = place === 0;
  at("after").disabled = place === shown.length - 1;
  at("compare-words").textContent = `Distance ${hit.distance.toFixed(3)}. Looking at the details…`;
  for (const sheet of document.querySelectorAll("#stage .sheet")) {
    sheet.style.transform = "";
    for (const box of sheet.querySelectorAll(".box")) box.remove();
  }
  at("first").src = query.source;
  at("second").src = thumbnail(hit.item.id, 1400);
  at("first").alt = query.name;
  at("second").alt = hit.item.name;
  at("first-words").textContent = query.name;
  at("second-words").textContent = `${hit.item.folder}/${hit.item.name}, ${hit.item.width} × ${hit.item.height}, ${hit.item.format}, ${bytes(hit.item.size)}`;
  fit();
  let said;
  try {
    said = await post("/api/compare", { items: [...(query.item ? [query.item] : []), hit.item.id], uploads: query.upload ? [query.upload] : [] });
  } catch (error) {
    said = { verdict: "unchecked", relation: null, transform: [], differences: [], differences_in_second: [] };
  }
  if (compared !== place) return;
  at("compare").transformed = said.transform;
  at("compare-words").textContent = `Distance ${hit.distance.toFixed(3)}. ${verdict(said)}`;
  for (const [id, boxes] of [["first-sheet", said.differences], ["second-sheet", said.differences_in_second]]) {
    for (const [left, top, right, bottom] of boxes) {
      const box = make("span", { className: "box" });
      Object.assign(box.style, { left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%` });
      at(id).append(box);
    }
  }
};

const verdict = (said) => {
  const ways = [said.mirrored && "mirrored", Math.abs(said.turned ?? 0) > 1 && `turned by ${Math.round(said.turned)}°`, said.inverted && "inverted", said.recoloured && "recoloured"].filter(Boolean);
  const how = ways.length ? ` It is ${ways.join(", ")}.` : "";
  switch (said.relation ?? said.verdict) {
    case "identical":
      return "The same file, byte for byte: it is the same picture.";
    case "same-pixels":
      return "Another file with the same pixels: it is the same picture.";
    case "confirmed":
      return `The details agree: it is the same picture.${how}${lost(said)}`;
    case "altered":
      return `It is the same picture, but a part differs, as marked.${how}${lost(said)}`;
    case "alike":
      return "The details do not agree: these are two pictures.";
    default:
      return "The details cannot be compared.";
  }
};

/* What would be lost if only one of two pictures stayed. */
const lost = (said) => {
  const [first, second] = [said.only_first, said.only_second].map((share) => share > 0.004); // a line of text
  if (first && second) return " Each shows something that the other does not.";
  if (!first && !second) return "";
  return ` The ${first ? "first" : "second"} one shows more than the other: a part of the scene, its colours, or a transparent ground.`;
};

/* A sheet has the shape of its picture and fits into its frame. */
const fit = () => {
  for (const id of ["first", "second"]) {
    const picture = at(id);
    const sheet = at(`${id}-sheet`);
    const frame = sheet.parentElement;
    if (!picture.naturalWidth) continue;
    const scale = Math.min(frame.clientWidth / picture.naturalWidth, frame.clientHeight / picture.naturalHeight);
    sheet.style.width = `${picture.naturalWidth * scale}px`;
    sheet.style.height = `${picture.naturalHeight * scale}px`;
  }
  lay();
};

/* Lay the second picture on the first: by what the details say, else edge on edge. */
const lay = () => {
  const [first, second] = [at("first-sheet"), at("second-sheet")];
  second.style.transform = "";
  if (at("stage").dataset.view !== "difference") return;
  const [width, height] = [first.clientWidth, first.clientHeight];
  const [own, tall] = [second.clientWidth, second.clientHeight];
  if (!width || !own) return;
  const told = at("compare").transformed;
  const [a, b, c, d, e, f, g, h, i] = told?.length ? told.flat() : [1, 0, 0, 0, 1, 0, 0, 0, 1];
  // Shares of the second to shares of the first, in pixels of the two sheets, whose centres lie on each other.
  const scaled = [(a * width) / own, (b * width) / tall, c * width, (d * height) / own, (e * height) / tall, f * height, g / own, h / tall, i];
  const [p, q, r, s, t, u, v, w, z] = scaled;
  second.style.transformOrigin = "0 0";
  const [left, top] = [(own - width) / 2, (tall - height) / 2];
  second.style.transform = `translate(${left}px, ${top}px) matrix3d(${p}, ${s}, 0, ${v}, ${q}, ${t}, 0, ${w}, 0, 0, 1, 0, ${r}, ${u}, 0, ${z})`;
};

const view = (kind) => {
  at("stage").dataset.view = kind;
  at("view-side").setAttribute("aria-pressed", String(kind === "side"));
  at("view-difference").setAttribute("aria-pressed", String(kind === "difference"));
  fit();
};

const step = (by) => {
  if (shown[compared + by]) openCompare(compared + by);
};

/* -- what people do */

for (const id of ["file", "camera"]) at(id).onchange = (event) => searchWithFiles(event.target.files).finally(() => (event.target.value = ""));
at("more").onchange = (event) => searchWithFiles(event.target.files, { more: true }).finally(() => (event.target.value = ""));
for (const button of document.querySelectorAll(".pick")) button.onclick = openPicker;
for (const button of document.querySelectorAll(".close")) button.onclick = () => button.closest("dialog").close();
at("new").onclick = startAnew;
at("reset").onclick = () => show({ whole: true });
at("picker-more").onclick = () => list({ more: true }).catch(trouble);
at("words").oninput = () => list().catch(trouble);
at("controls").onsubmit = (event) => event.preventDefault();
at("controls").oninput = (event) => {
  if (["limit", "alike"].includes(event.target.id)) {
    at("controls").dataset.moved = "true";
    if (event.target.id === "limit" && Number(at("alike").value) < Number(at("limit").value)) at("alike").value = at("limit").value;
  }
  show();
};
at("before").onclick = () => step(-1);
at("after").onclick = () => step(1);
at("view-side").onclick = () => view("side");
at("view-difference").onclick = () => view("difference");
at("compare").onclose = () => {
  document.querySelector(`#results a[data-place="${compared}"]`)?.focus();
  compared = -1;
};
for (const id of ["first", "second"]) at(id).onload = fit;
addEventListener("resize", fit);
addEventListener("popstate", read);
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) searchWithFiles(event.clipboardData.files);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  at("veil").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("veil").hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  at("veil").hidden = true;
  if (event.dataTransfer.files.length) searchWithFiles(event.dataTransfer.files);
});

/* The card above or below is the nearest one in that direction. */
const move = (from, key) => {
  const links = [...document.querySelectorAll("#results .card > a")];
  const place = links.indexOf(from);
  if (place < 0) return links[0];
  if (key === "ArrowRight") return links[place + 1];
  if (key === "ArrowLeft") return links[place - 1];
  const here = from.getBoundingClientRect();
  const away = (link) => link.getBoundingClientRect();
  const beyond = links.filter((link) => (key === "ArrowDown" ? away(link).top >= here.bottom : away(link).bottom <= here.top));
  const distance = (link) => Math.abs(away(link).top - here.top) + Math.abs(away(link).left - here.left) / 4;
  return beyond.sort((one, other) => distance(one) - distance(other))[0];
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (at("compare").open) {
    const keys = { s: () => view("side"), x: () => view("difference"), ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
    if (event.key in keys) {
      event.preventDefault();
      keys[event.key]();
    }
    return;
  }
  if (at("picker").open || event.target.matches("input:not([type=range], [type=checkbox]), select") || !found) return;
  if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  if (event.key.startsWith("Arrow")) {
    const next = move(document.activeElement, event.key);
    if (next) {
      event.preventDefault();
      next.focus();
    }
  } else if (event.key === "c" && document.activeElement.dataset.place) {
    openCompare(Number(document.activeElement.dataset.place));
  } else if (event.key === "n") {
    event.preventDefault();
    startAnew();
  } else if (event.key === "/") {
    event.preventDefault();
    at("filters").open = true;
    at("name").focus();
  }
});

/* What is being indexed is shown as soon as it is there. */
const watchIndexing = async () => {
  const job = await running();
  if (job?.kind !== "sync") return;
  await watch(job);
  if (!found) await showStart();
};

at("filters").open = matchMedia("(min-width: 900px)").matches;
read();
watchIndexing().catch(trouble);
