"use strict";
/* Duplicates: looked for by a job, chosen from in the report, which is a page of its own in a frame, and acted on. */

const showReport = () => {
  at("report").hidden = false;
  at("report").contentWindow.location.replace("/duplicates/report"); // Back leads away from this page, not to an earlier report
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
    const { plan, steps, applied } = await ask("/api/plans", { method: "POST", headers: { "Content-Type": "application/json" }, body: text });
    at("said").textContent = applied ? `This is plan ${plan}, which is applied already.` : `Plan ${plan} is kept: ${counted(steps, "copy", "copies")}. Nothing is done yet.`;
    await showPlans();
    at(`plan-${plan}`).querySelector("button").focus();
  } else {
    const { answers } = await ask("/api/answers", { method: "POST", headers: { "Content-Type": "text/csv" }, body: text });
    at("said").textContent = `${counted(answers, "answer is", "answers are")} kept. Look again, and they count.`;
  }
};

const act = async (order, words) => {
  try {
    const { state, result } = await work(order);
    const refused = result.refused.length ? `; ${result.refused.length} refused: ${Object.keys(result.reasons).join("; ")}` : "";
    await showPlans();
    if (!order.dry_run) at("old").hidden = result.undo || !result.done.length;
    const stopped = state === "stopped" ? "Stopped; the rest is as it was. " : "";
    at("said").textContent = `${stopped}${counted(result.done.length, "copy", "copies")} ${words} (${bytes(result.bytes)})${refused}.${result.places.length && !result.undo ? ` They are in ${result.places.join(", ")}.` : ""}`;
  } catch (error) {
    complain(error);
  }
};

let plansShown = "";

const showPlans = async () => {
  if (!at("plans")) return; // read-only
  const { plans } = await ask("/api/plans");
  if (JSON.stringify(plans) === plansShown) return; // what is being clicked stays where it is
  plansShown = JSON.stringify(plans);
  at("plans").hidden = !plans.length;
  at("plan-list").replaceChildren(
    ...plans.map(({ plan, steps, applied }) => {
      const button = (words, style, onclick) => make("button", { type: "button", className: style, textContent: words, onclick });
      return make(
        "li",
        { id: `plan-${plan}` },
        make("span", { textContent: `Plan ${plan}: ${counted(steps, "copy", "copies")}${applied ? `, ${applied.toLocaleString("en")} applied` : ""}` }),
        applied ? null : button("Try", "plain", () => act({ kind: "apply", plan, to: "trash", dry_run: true }, "would go into the trash; nothing was changed")),
        applied ? null : button("Into the trash", "", () => act({ kind: "apply", plan, to: "trash" }, "put in the trash")),
        applied && applied < steps ? button("Go on", "plain", () => act({ kind: "apply", plan, to: "trash" }, "put in the trash")) : null,
        applied ? button("Undo", "", () => act({ kind: "undo", plan }, "restored")) : null,
      );
    }),
  );
};

/* Another page may have acted meanwhile. */
addEventListener("focus", () => {
  if (!document.querySelector("#plans button:disabled")) showPlans().catch(complain);
});

const look = async (started) => {
  try {
    const job = await started;
    const isDone = job?.kind === "dedupe" && job.state === "done";
    if (job?.state === "stopped") {
      at("said").textContent = "Stopped.";
    } else if (isDone) {
      at("old").hidden = true;
      const { images, groups, copies, bytes: size } = job.result;
      at("said").textContent = groups ? `${counted(images, "picture")}: ${counted(groups, "group")} with ${counted(copies, "copy", "copies")}, ${bytes(size)} to free.` : `${counted(images, "picture")}, and no duplicates.`;
    }
    if (isDone || "found" in at("report").dataset) showReport();
    await showPlans();
  } catch (error) {
    complain(error);
  }
};

at("look").onclick = () => look(work({ kind: "dedupe" }));
look(running().then((job) => job && watch(job)));
