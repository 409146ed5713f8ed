"use strict";
// Puts the newest numbers into the page every ten seconds, while somebody looks and nothing in it is in use.
const live = document.getElementById("live");
const EVERY_MS = 10000;
const isBusy = () => document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]");
async function refresh() {
  if (isBusy()) return;
  try {
    const answer = await fetch(live.dataset.source, { credentials: "same-origin", cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok || isBusy()) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
    live.replaceChildren(...fresh.childNodes);
    mark();
  } catch {
    // The server is away for a moment: the numbers stay, with their time.
  }
}
function mark() {
  for (const each of live.querySelectorAll(".every")) each.textContent = ", refreshed every 10 s";
}
mark();
setInterval(refresh, EVERY_MS);
document.addEventListener("visibilitychange", refresh);
