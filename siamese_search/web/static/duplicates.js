"use strict";
/* Duplicates: looked for by a job, chosen from in the report, which is a page of its own in a frame, and acted on. */

const showReport = () => {
  at("report").hidden = false;
  at("report").src = "/duplicates/report";
  at("look").textContent = "Look again";
};

at("report").onload = () => {
  // What the report saves comes here instead of into a file.
  at("report").contentDocument?.addEventListener("save", (event) => {
    event.preventDefault();
    save(event.detail).catch(complain);
  });
};

const save = async ({ name, text }) => {
  at("trouble").hidden = true;
  if (name.endsWith(".json")) {
    const { plan, steps } = await ask("/api/plans", { method: "POST", headers: { "Content-Type": "application/json" }, body: text });
    at("said").textContent = `Plan ${plan} is kept: ${counted(steps, "copy", "copies")}. Nothing is done yet.`;
    await showPlans();
    at("plans").querySelector("button").focus();
  } else {
    const { answers } = await ask("/api/answers", { method: "POST", headers: { "Content-Type": "text/csv" }, body: text });
    at("said").textContent = `${counted(answers, "answer is", "answers are")} kept. Look again, and they count.`;
  }
};

const act = async (order, words) => {
  try {
    const { result } = await work(order);
    const refused = result.refused.length ? `; ${result.refused.length} refused: ${Object.keys(result.reasons).join("; ")}` : "";
    await showPlans();
    at("said").textContent = `${counted(result.done.length, "copy", "copies")} ${words} (${bytes(result.bytes)})${refused}.${result.places.length && !result.undo ? ` They are in ${result.places.join(", ")}.` : ""}`;
  } catch (error) {
    complain(error);
  }
};

const showPlans = async () => {
  if (!at("plans")) return; // read-only
  const { plans } = await ask("/api/plans");
  at("plans").hidden = !plans.length;
  at("plan-list").replaceChildren(
    ...plans.map(({ plan, steps, applied }) => {
      const button = (words, style, onclick) => make("button", { type: "button", className: style, textContent: words, onclick });
      return make(
        "li",
        {},
        make("span", { textContent: `Plan ${plan}: ${counted(steps, "copy", "copies")}${applied ? `, ${applied.toLocaleString("en")} applied` : ""}` }),
        applied ? null : button("Try", "plain", () => act({ kind: "apply", plan, to: "trash", dry_run: true }, "would go into the trash; nothing was changed")),
        applied ? null : button("Into the trash", "", () => act({ kind: "apply", plan, to: "trash" }, "put in the trash")),
        applied ? button("Undo", "", () => act({ kind: "undo", plan }, "restored")) : null,
      );
    }),
  );
};

const look = async (started) => {
  try {
    const job = await started;
    if (job && job.kind !== "dedupe") return;
    if (job) {
      const { images, groups, copies, bytes: size } = job.result;
      at("said").textContent = groups ? `${counted(images, "picture")}: ${counted(groups, "group")} with ${counted(copies, "copy", "copies")}, ${bytes(size)} to free.` : `${counted(images, "picture")}, and no duplicates.`;
    }
    if (job || "found" in at("report").dataset) showReport();
    await showPlans();
  } catch (error) {
    complain(error);
  }
};

at("look").onclick = () => look(work({ kind: "dedupe" }));
look(running().then((job) => job && watch(job)));
