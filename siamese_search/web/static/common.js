"use strict";
/* What several pages share: asking the API, numbers in words, and the progress of a job. */
const at = (id) => document.getElementById(id);

const make = (tag, values = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), values);
  made.append(...children.filter((child) => child !== null));
  return made;
};

const ask = async (address, options = {}) => {
  let reply;
  try {
    reply = await fetch(address, options);
  } catch (error) {
    throw new Error("the server does not answer; is simsearch serve still running?");
  }
  if (reply.status === 429 && !options.again) {
    await new Promise((done) => setTimeout(done, 1000 * Number(reply.headers.get("Retry-After") || 1)));
    return ask(address, { ...options, again: true });
  }
  const text = await reply.text();
  let said = null;
  try {
    said = JSON.parse(text);
  } catch (error) {
    if (reply.ok) throw error;
  }
  if (!reply.ok) throw new Error(said?.error ?? text);
  return said;
};

const post = (address, body) => ask(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

const counted = (count, noun, plural = `${noun}s`) => `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;

const bytes = (size) => {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), units.length - 1);
  const value = size / 1000 ** power;
  return `${value.toFixed(power && value < 100 ? 1 : 0)} ${units[power]}`;
};

const day = (seconds) => (seconds ? new Date(seconds * 1000).toISOString().slice(0, 10) : "");

/* Follow a job until it ends; `tell` is called with it whenever something changes. */
const follow = (id, tell) =>
  new Promise((done) => {
    const source = new EventSource(`/api/jobs/${id}/events`);
    source.onmessage = (event) => {
      const job = JSON.parse(event.data);
      tell(job);
      if (job.state !== "running") {
        source.close();
        done(job);
      }
    };
  });

/* Start a job and show how far it is; `said` and `progress` are elements of the page. Returns the job as it ended. */
const work = async (order) => {
  workButtons(false); // at once: a second click is not meant
  try {
    return await watch(await post("/api/jobs", order));
  } finally {
    workButtons(true);
  }
};

const workButtons = (usable) => {
  for (const button of document.querySelectorAll("[data-kind], #look, #plans button")) button.disabled = !usable;
};

const watch = async (job) => {
  const name = { sync: "Indexing", dedupe: "Comparing", calibrate: "Calibrating", apply: "Acting", undo: "Taking back", questions: "Comparing", map: "Drawing" }[job.kind];
  workButtons(false);
  at("trouble").hidden = true;
  if (at("stop")) Object.assign(at("stop"), { hidden: false, onclick: () => post(`/api/jobs/${job.id}/stop`, {}) });
  const ended = await follow(job.id, ({ done, total }) => {
    at("progress").hidden = false;
    if (total) Object.assign(at("progress"), { max: total, value: done });
    at("said").textContent = total ? `${name}: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : `${name}…`;
  });
  at("progress").hidden = true;
  at("progress").removeAttribute("value");
  if (at("stop")) at("stop").hidden = true;
  workButtons(true);
  at("said").textContent = "";
  if (ended.state === "failed") throw new Error(ended.error);
  return ended;
};

/* The job that is at work already, such as one that another page started. */
const running = async () => (await ask("/api/jobs")).jobs.find((job) => job.state === "running");

const complain = (error) => {
  at("trouble").textContent = `That did not work: ${error.message ?? error}`;
  at("trouble").hidden = false;
};
