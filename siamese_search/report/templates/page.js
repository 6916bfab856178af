(() => {
  const cards = [...document.querySelectorAll(".card")];
  const groups = [...document.querySelectorAll("#duplicates .card")];
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

  const step = (by) => {
    const visible = cards.filter((card) => !card.hidden);
    const at = visible.indexOf(document.activeElement?.closest(".card"));
    const next = visible[at < 0 ? (by > 0 ? 0 : visible.length - 1) : at + by];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "start" });
  };

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
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/" && filter) filter.focus();
    else return;
    event.preventDefault();
  });
  if (filter?.value) apply(); // a reloaded page keeps what was typed
})();
