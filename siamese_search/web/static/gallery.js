"use strict";
/* The gallery: what is in it, and the work of keeping it. */

const about = async () => {
  if (!("indexed" in at("about").dataset)) {
    const named = document.querySelectorAll("#roots [data-named]").length;
    at("about").textContent = named ? "Nothing is indexed yet. Index begins with these folders." : "Nothing is indexed yet; start the server with a folder, as in: simsearch serve ~/Pictures";
    return;
  }
  const info = await ask("/api/info");
  const left = info.skipped ? `; ${counted(info.skipped, "file")} could not be read` : "";
  at("about").textContent = `${counted(info.images, "picture")}${left}. Details are compared within a reach of ${info.reach.toFixed(3)}, and decide; where distance alone does, the threshold is ${info.threshold.distance.toFixed(3)}. Encoder ${info.encoder}, ${bytes(info.size_on_disk)} on disk.`;
  at("roots").replaceChildren(...info.roots.map((root) => make("li", { textContent: root })));
};

const tell = (job) => {
  const result = job.result;
  if (job.kind === "sync") {
    const parts = ["added", "changed", "moved", "removed", "unchanged"].filter((name) => result[name]).map((name) => `${result[name].toLocaleString("en")} ${name}`);
    at("said").textContent = `${job.state === "stopped" ? "Stopped; Index goes on from here. " : ""}${counted(result.images, "picture")} (${parts.join(", ") || "no pictures found"}) in ${result.seconds.toFixed(1)} s.`;
    at("skipped").replaceChildren(...result.skipped.slice(0, 20).map(({ path, reason }) => make("li", { textContent: `${path}: ${reason}` })));
  } else if (job.kind === "calibrate") {
    at("said").textContent = `The threshold is ${result.threshold.distance.toFixed(3)} now.`;
  }
};

const run = async (started) => {
  try {
    const job = await started;
    if (job) tell(job);
    if (job?.kind === "sync") at("about").dataset.indexed = "";
    await about();
  } catch (error) {
    complain(error);
  }
};

for (const button of document.querySelectorAll("[data-kind]")) button.onclick = () => run(work({ kind: button.dataset.kind }));
run(running().then((job) => job && at("said") && watch(job)));
