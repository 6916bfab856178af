// The groups: found by words, put in order.
const at = (id) => document.getElementById(id);
const element = (name, text = "", kind = "") => Object.assign(document.createElement(name), { textContent: text, className: kind });
const count = (number, noun, plural = `${noun}s`) => `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
const nameOf = (figure) => figure.querySelector(".name").textContent;

let cards = [...document.querySelectorAll(".card")];
const groups = [...document.querySelectorAll("#duplicates .card")];
const filter = at("filter");
const sort = at("sort");
const none = at("none");
let texts = null;

// What a group can be found by: its words as shown, and the full paths of its pictures.
const textOf = (group) =>
  [group.textContent, ...[...group.querySelectorAll("figure")].map((figure) => figure.title)].join("\n").toLowerCase();

const find = () => {
  texts ??= groups.map(textOf);
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  groups.forEach((group, place) => {
    group.hidden = !words.every((word) => texts[place].includes(word));
    found += !group.hidden;
  });
  at("shown").value = words.length ? `${found.toLocaleString("en")} of ${count(groups.length, "group")}` : count(groups.length, "group");
  none.hidden = found > 0;
  at("duplicates").scrollIntoView();
  document.dispatchEvent(new Event("found"));
};

let waiting;
filter?.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(find, 80);
});

// Sorting moves the cards; each keeps its number, which is its place by bytes.
const orders = {
  bytes: (a, b) => b.dataset.bytes - a.dataset.bytes || a.id.slice(1) - b.id.slice(1),
  farthest: (a, b) => b.dataset.farthest - a.dataset.farthest,
  copies: (a, b) => b.dataset.copies - a.dataset.copies,
  name: (a, b) => a.querySelector(".lead-picture").title.localeCompare(b.querySelector(".lead-picture").title),
};
sort?.addEventListener("change", () => {
  groups.sort(orders[sort.value]);
  none.before(...groups);
  cards = [...document.querySelectorAll(".card")];
  texts = null;
  at("duplicates").scrollIntoView();
});
