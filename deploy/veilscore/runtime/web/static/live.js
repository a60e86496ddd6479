// Keeps a page that names an address in data-live current. Everything else on our
// pages works without scripts.
"use strict";

const PERIOD_MS = 2000;
const live = document.querySelector("[data-live]");
const lost = document.querySelector("[data-lost]");

function show(name, value) {
  for (const element of live.querySelectorAll(`[data-show="${name}"]`)) {
    if (element instanceof HTMLProgressElement) element.value = value;
    else element.textContent = value;
  }
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(live.dataset.live, { cache: "no-store" });
    if (answer.status === 401) return location.reload(); // leads to the sign-in page
    if (!answer.ok) throw new Error(answer.statusText);
    const news = await answer.json();
    if (news.page !== live.dataset.page) return location.reload();
    for (const [name, value] of Object.entries(news.show)) show(name, value);
    lost.hidden = true;
  } catch {
    lost.hidden = false; // the page is old, and says so
  }
}

if (live) setInterval(refresh, PERIOD_MS);
