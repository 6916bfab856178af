// The keyboard.
const step = (by, from = document.activeElement?.closest(".card")) => {
  const visible = cards.filter((card) => !card.hidden);
  const place = visible.indexOf(from);
  const next = visible[place < 0 ? (by > 0 ? 0 : visible.length - 1) : place + by];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "start" });
  return next;
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event;
  if (filter && target === filter) {
    if (key !== "Escape") return;
    filter.value = "";
    find();
    filter.blur();
    return;
  }
  if (target === sort) return;
  const comparing = dialog?.open;
  if (key === "j" || key === "k") {
    const card = step(key === "j" ? 1 : -1, comparing ? shownCopy.closest(".card") : undefined);
    if (comparing && card) compare(card.querySelector(".match"));
  } else if (comparing && key.startsWith("Arrow")) {
    if (target.matches("input") || !["ArrowLeft", "ArrowRight"].includes(key)) return;
    beside(key === "ArrowRight" ? 1 : -1);
  } else if (comparing && key in choosing) choosing[key](shownCopy);
  else if (comparing) return;
  else if (key === "Enter" && target.matches("#duplicates .card")) compare(target.querySelector(".match"));
  else if (key in choosing && target.closest("#duplicates .match")) choosing[key](target.closest(".match"));
  else if (key === "t" && target.matches("#duplicates .card")) choosing.group?.(target);
  else if (key === "/" && filter) filter.focus();
  else return;
  event.preventDefault();
});
if (filter?.value) find(); // a reloaded page keeps what was typed
