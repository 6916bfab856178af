// What is chosen: which picture is kept, and which copies go into the plan. Only what the report compared can be chosen.
const choosing = { __proto__: null }; // by key: what it does to a picture
const data = at("choices") && JSON.parse(at("choices").textContent);

const bytes = (size) => {
  const power = Math.min(Math.floor((String(size).length - 1) / 3), 4);
  const [part, digits] = [size / 1000 ** power, power ? 3 - String(Math.floor(size / 1000 ** power)).length : 0];
  return `${part.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${["bytes", "KB", "MB", "GB", "TB"][power]}`;
};

// One group: its pictures, the first one kept by default, and what a person chose.
class Group {
  constructor({ members, pairs, reason }, card) {
    Object.assign(this, { members, reason, card });
    const first = new Map();
    members.forEach(({ hash }, place) => first.has(hash) || first.set(hash, place));
    this.like = members.map(({ hash }) => first.get(hash)); // equal files count as one picture
    this.direct = new Map(pairs.map(([keep, copy, relation]) => [`${this.like[keep]} ${this.like[copy]}`, relation]));
    this.figures = []; // until it is shown with its controls: a page may have thousands of groups
    this.reset();
  }

  reset() {
    [this.keep, this.ticks, this.marks] = [0, {}, []];
  }

  pair(one, other) {
    const [a, b] = [this.like[one], this.like[other]];
    return a < b ? `${a} ${b}` : `${b} ${a}`;
  }

  // How a picture relates to the one kept: as it was compared, or through a third one that is equal to one of them.
  relation(place, keep = this.keep) {
    const [a, b] = [this.like[place], this.like[keep]];
    if (a === b) return "identical";
    if (b === 0 || this.members[b].relation === "same-pixels") return this.members[a || b].relation;
    const from = (copy) => this.direct.get(`${b} ${copy}`); // a crop shows less than what it was cut from
    if (a === 0) return from(0) ?? this.members[b].relation;
    return from(a) ?? (this.members[a].relation === "same-pixels" ? from(0) ?? this.members[b].relation : null);
  }

  // What the file of a picture knows, and that of the one kept does not: keywords, a caption, a place.
  holds(place) {
    if (this.like[place] === this.like[this.keep]) return [];
    const kept = new Set(this.members[this.keep].knows.map(String));
    return [...new Set(this.members[place].knows.filter((entry) => !kept.has(String(entry))).map(([kind]) => kind))];
  }

  isMarked(place) {
    return this.marks.some(([marked]) => this.like[marked] === this.like[place]);
  }

  // Why a picture cannot go into the plan, "" if it can.
  objection(place) {
    const member = this.members[place];
    const relation = this.relation(place);
    const pair = this.pair(place, this.keep);
    if (member.blocked) return member.blocked;
    if (this.isMarked(place) || this.marks.some(([one, other]) => this.pair(one, other) === pair)) return "not a duplicate, you say";
    if (this.isMarked(this.keep)) return "you say that the one kept is no duplicate";
    if (!relation) return "not compared with the one kept: stays";
    return data.may.includes(relation) || (this.keep === 0 && member.acts) ? "" : `${data.words[relation]}: stays`;
  }

  // How many pixels it has for each of the one kept: more would be lost with it.
  finer(place) {
    return this.members[place].pixels / this.members[this.keep].pixels;
  }

  // What a person should know who lets a picture go, "" if nothing.
  warning(place) {
    const finer = this.finer(place);
    if (!(finer > 1) || this.relation(place) === "identical") return "";
    return `larger: ${finer.toLocaleString("en", { maximumFractionDigits: finer < 10 ? 1 : 0 })} × the pixels of the one kept`;
  }

  isChosenAtFirst(place) {
    if (this.keep === 0) return this.members[place].acts;
    return data.only.includes(this.relation(place)) && !(this.finer(place) >= data.finer) && !this.holds(place).length;
  }

  isChosen(place) {
    return place !== this.keep && !this.objection(place) && (this.ticks[place] ?? this.isChosenAtFirst(place));
  }

  get others() {
    return [...this.members.keys()].filter((place) => place !== this.keep);
  }

  get chosen() {
    return this.others.filter((place) => this.isChosen(place));
  }

  // What can be chosen: all of it, or what is chosen without being asked for one by one.
  able(safely = false) {
    return this.others.filter((place) => !this.objection(place) && (!safely || this.isChosenAtFirst(place)));
  }

  // What one tick for the whole group is about: an altered copy is chosen by itself, or where there is nothing else.
  get offered() {
    const safe = this.able(true);
    return safe.length ? safe : this.able();
  }

  choose(wanted, places = this.offered) {
    for (const place of wanted ? places : this.others) this.ticks[place] = wanted;
  }

  // Tick what is offered, or where that is ticked already, nothing.
  toggle() {
    this.choose(!this.offered.every((place) => this.isChosen(place)));
  }

  step(place) {
    const [copy, keep] = [this.members[place], this.members[this.keep]];
    const atFirst = this.keep === 0;
    return {
      copy: copy.path, copy_hash: copy.hash, keep: keep.path, keep_hash: keep.hash, size: copy.size,
      distance: atFirst ? copy.distance : null, relation: this.relation(place), looks: atFirst ? copy.looks : [],
      reason: atFirst ? this.reason : "chosen", companions: copy.along ?? [],
    };
  }
}

const startChoosing = () => {
  const byPlace = new Map(groups.map((card) => [Number(card.dataset.group), card]));
  const chosen = data.groups.map((group, place) => new Group(group, byPlace.get(place)));
  const groupOf = new Map(chosen.map((group) => [group.card, group]));
  const find = (figure) => [groupOf.get(figure.closest(".card")), Number(figure.dataset.member)];
  const memory = `simsearch ${data.id}`;

  const remember = () => {
    const changed = chosen.map(({ keep, ticks, marks }, place) => [place, keep, ticks, marks]);
    const kept = changed.filter(([, keep, ticks, marks]) => keep || marks.length || Object.keys(ticks).length);
    try {
      localStorage.setItem(memory, JSON.stringify(kept));
    } catch {} // a browser may forbid it
  };
  const recall = () => {
    try {
      return (JSON.parse(localStorage.getItem(memory)) ?? []).map(([place, keep, ticks, marks]) => Object.assign(chosen[place], { keep, ticks, marks }));
    } catch {
      chosen.forEach((group) => group.reset());
      return [];
    }
  };

  const control = element("div", "", "choose");
  control.innerHTML =
    '<label class="tick"><input type="checkbox"> in the plan</label><p class="why"></p>' +
    '<button type="button" data-key="o">Keep this one</button><button type="button" data-key="d">Not a duplicate</button>';

  // A person chose another one to keep: what was said of the first one no longer holds.
  const head = (group, place) => {
    const made = element("div", "", "head");
    const verdict = element("p", "", "verdict");
    if (place === group.keep) {
      verdict.append(element("span", "keep", "badge"));
      made.append(verdict, element("p", "chosen by you", "reason"));
    } else {
      const relation = group.relation(place);
      verdict.append(element("span", relation ? data.words[relation] : "not compared", "label"));
      made.append(verdict);
      const holds = group.holds(place);
      if (holds.length) made.append(element("p", `holds ${holds.join(", ")} that the kept one lacks`, "looks"));
    }
    return made;
  };

  const showControls = (group, place, box) => {
    const objection = group.objection(place);
    const tick = box.querySelector("input");
    [tick.checked, tick.disabled] = [group.isChosen(place), Boolean(objection)];
    box.querySelector(".why").textContent = [objection, group.warning(place)].filter(Boolean).join("; ");
    box.classList.toggle("losing", tick.checked && Boolean(group.warning(place)));
    const [keep, differs] = box.querySelectorAll("button");
    keep.hidden = data.fixed;
    differs.setAttribute("aria-pressed", group.isMarked(place));
    differs.hidden = !group.isMarked(place) && group.relation(place) === "identical";
  };

  const build = (group) => {
    const { card } = group;
    group.figures = [...card.querySelectorAll("figure")];
    group.heads = group.figures.map((figure) => figure.querySelector(".head"));
    for (const figure of group.figures) {
      const box = control.cloneNode(true);
      const name = nameOf(figure);
      box.querySelector("input").setAttribute("aria-label", `in the plan: ${name}`);
      const [keep, differs] = box.querySelectorAll("button");
      keep.setAttribute("aria-label", `Keep this one instead: ${name}`);
      differs.setAttribute("aria-label", `Not a duplicate: ${name}`);
      figure.querySelector("figcaption").append(box);
    }
    const all = element("label", "", "tick");
    all.innerHTML = '<input type="checkbox"> in the plan';
    all.firstChild.setAttribute("aria-label", `in the plan: all of group ${card.id.slice(1)}`);
    card.querySelector("h3").append(all);
  };

  const show = (group) => {
    if (!group.figures.length) build(group);
    const { card, figures, keep } = group;
    const pair = card.querySelector(".pair");
    if (figures[keep].className !== "lead-picture") {
      pair.prepend(figures[keep]);
      card.querySelector(".matches").prepend(...figures.filter((figure, place) => place !== keep));
    }
    const wasChanged = card.dataset.changed;
    card.dataset.changed = keep ? "yes" : "";
    figures.forEach((figure, place) => {
      figure.className = place === keep ? "lead-picture" : "match";
      if (keep || wasChanged) figure.querySelector(".head").replaceWith(keep ? head(group, place) : group.heads[place]);
      const box = figure.querySelector(".choose");
      box.hidden = place === keep;
      if (place !== keep) showControls(group, place, box);
    });
    const going = group.chosen;
    const freed = going.reduce((sum, place) => sum + group.members[place].frees, 0);
    card.querySelector("h3 small").textContent = freed ? bytes(freed) : "";
    const all = card.querySelector("h3 input");
    const { offered } = group;
    const isFull = offered.length > 0 && group.able().every((place) => going.includes(place));
    [all.checked, all.indeterminate, all.disabled] = [isFull, !isFull && going.length > 0, !offered.length];
  };

  const summary = () => {
    let [going, freed, copies] = [0, 0, 0];
    const kinds = {};
    for (const group of chosen) {
      for (const place of group.chosen) {
        going += 1;
        freed += group.members[place].frees;
        const relation = group.relation(place);
        kinds[relation] = (kinds[relation] ?? 0) + 1;
      }
      copies += group.members.length - 1;
    }
    const each = Object.keys(data.words).filter((relation) => kinds[relation]).map((relation) => `${kinds[relation].toLocaleString("en")} ${data.words[relation]}`);
    at("plan-count").textContent = `${going.toLocaleString("en")} of ${count(copies, "copy", "copies")} in the plan, ${bytes(freed)} to free`;
    at("plan-kinds").textContent = each.join(", ");
    at("to-free").textContent = bytes(freed);
    const answers = chosen.reduce((sum, group) => sum + group.marks.length, 0);
    at("save-plan").disabled = !going;
    [at("save-answers").hidden, at("save-answers").textContent] = [!answers, `Save ${count(answers, "answer")}`];
    const shown = chosen.filter((group) => !group.card.hidden);
    const [some, full] = [shown.some((group) => group.chosen.length), shown.every((group) => group.able().every((place) => group.isChosen(place)))];
    const all = at("all-shown");
    [all.checked, all.indeterminate] = [some && full, some && !full];
  };

  const changed = (...some) => {
    some.filter((group) => some.length === 1 || group.figures.length).forEach(show);
    summary();
    remember();
    if (dialog.open && some.includes(groupOf.get(shownCopy.closest(".card")))) showDialog();
  };

  const say = (text) => (at("plan-said").textContent = text);

  choosing.t = (figure) => {
    const [group, place] = find(figure);
    if (place === group.keep || group.objection(place)) return;
    group.ticks[place] = !group.isChosen(place);
    changed(group);
  };
  choosing.o = (figure) => {
    const [group, place] = find(figure);
    if (data.fixed || place === group.keep) return;
    group.keep = place;
    const unknown = group.others.filter((other) => !group.relation(other)).length;
    const differing = group.others.filter((other) => group.relation(other) && !data.only.includes(group.relation(other))).length;
    const larger = group.others.filter((other) => data.only.includes(group.relation(other)) && !group.isChosenAtFirst(other)).length;
    show(group);
    const notCompared = unknown ? ` ${count(unknown, "picture was", "pictures were")} not compared with it, and ${unknown === 1 ? "stays" : "stay"}.` : "";
    const notSure = differing ? ` ${count(differing, "picture shows", "pictures show")} more than it, or other things, and ${differing === 1 ? "is" : "are"} not ticked.` : "";
    const losing = larger ? ` ${count(larger, "picture has", "pictures have")} far more pixels than it, and ${larger === 1 ? "is" : "are"} not ticked.` : "";
    say(`${nameOf(figure)} is kept.${notCompared}${notSure}${losing}`);
    if (dialog.open && shownCopy === figure) compare(group.card.querySelector(".match"));
    else figure.closest(".card").focus({ preventScroll: true });
    changed(group);
  };
  choosing.d = (figure) => {
    const [group, place] = find(figure);
    if (group.isMarked(place)) group.marks = group.marks.filter(([marked]) => group.like[marked] !== group.like[place]);
    else if (place !== group.keep && group.relation(place) !== "identical") group.marks.push([place, group.keep]);
    changed(group);
  };
  choosing.group = (card) => {
    const group = groupOf.get(card);
    group.toggle();
    changed(group);
  };

  const showDialog = () => showControls(...find(shownCopy), at("compare-choose"));
  document.addEventListener("compared", showDialog);
  document.addEventListener("found", summary);

  const figureOf = (target) => (dialog.contains(target) ? shownCopy : target.closest("figure"));
  const chose = ({ target }) => {
    if (target.closest(".choose")) choosing.t(figureOf(target));
    else if (target.closest("h3")) {
      const group = groupOf.get(target.closest(".card"));
      group.toggle();
      changed(group);
    }
  };
  const clicked = ({ target }) => target.dataset.key && choosing[target.dataset.key](figureOf(target));
  for (const place of [at("duplicates"), dialog]) {
    place.addEventListener("change", chose);
    place.addEventListener("click", clicked);
  }
  at("all-shown").addEventListener("change", () => {
    const shown = chosen.filter((group) => !group.card.hidden);
    const wanted = !shown.every((group) => group.able(true).every((place) => group.isChosen(place)));
    shown.forEach((group) => group.choose(wanted, group.able(true)));
    changed(...shown);
  });

  // A page that holds this one in a frame may take what is saved.
  const save = (name, type, text) => {
    if (!document.dispatchEvent(new CustomEvent("save", { cancelable: true, detail: { name, text } }))) return;
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  at("save-plan").addEventListener("click", () => {
    const going = chosen.flatMap((group) => group.chosen.map((place) => [group.step(place), group.members[place].shared ?? []]));
    const paths = new Set(going.map(([step]) => step.copy));
    const last = new Map(); // what several pictures have in common goes with the last of them, if all go
    for (const [step, shared] of going) for (const { of, ...file } of shared) if (of.every((path) => paths.has(path))) last.set(file.path, [step, file]);
    for (const [step, file] of last.values()) step.companions = [...step.companions, file];
    const steps = going.map(([step]) => JSON.stringify(step));
    save("plan.json", "application/json", `${data.plan.slice(0, -1)}, "steps": [\n${steps.join(",\n")}\n]}\n`);
    say(at("plan-said").dataset.plan);
  });
  at("save-answers").addEventListener("click", () => {
    const cell = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = chosen.flatMap(({ members, marks }) =>
      marks.map((pair) => [...pair.map((place) => cell(members[place].path)), "different", ...pair.map((place) => members[place].hash)].join(",")),
    );
    save("answers.csv", "text/csv", ["first,second,label,first_hash,second_hash", ...rows, ""].join("\r\n"));
    say(at("plan-said").dataset.answers);
  });

  const nearing = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        nearing.unobserve(target);
        if (!groupOf.get(target).figures.length) show(groupOf.get(target));
      }
    },
    { rootMargin: "2000px" },
  );
  recall().forEach(show);
  groups.forEach((card) => nearing.observe(card));
  summary();
};
