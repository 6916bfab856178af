"use strict";
/* The map, which is a page of its own in a frame: a link in it, to a file, leads to a search with that picture. */

const showMap = () => {
  at("report").hidden = false;
  at("report").contentWindow.location.replace("/map/page");
  document.querySelector("[data-kind]").textContent = "Draw again";
};

const open_ = async (file) => {
  const { id } = await ask(`/map/item?${new URLSearchParams({ file })}`);
  location.href = `/?item=${id}`;
};

at("report").onload = () =>
  at("report").contentDocument?.addEventListener(
    "click",
    (event) => {
      const link = event.target.closest?.("a[href^='file:']");
      if (!link) return;
      event.preventDefault();
      open_(link.getAttribute("href")).catch(complain);
    },
    true,
  );

const draw = (started) => started.then((job) => job?.state === "done" && showMap(), complain);
document.querySelector("[data-kind]").onclick = () => draw(work({ kind: "map" }));
if ("found" in at("report").dataset) showMap();
draw(running().then((job) => (job?.kind === "map" ? watch(job) : null)));
