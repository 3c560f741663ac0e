// What the page does without being asked for: it tells the time zone, keeps the live calls fresh, and joins the
// player with waveform and timeline. Everything else, and everything without it, works by links and forms.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const known = document.cookie.split("; ").find((c) => c.startsWith("consentgate_zone="));
if (zone && known !== "consentgate_zone=" + encodeURIComponent(zone)) {
  document.cookie = "consentgate_zone=" + encodeURIComponent(zone) + "; path=/; samesite=strict; max-age=31536000" +
    (location.protocol === "https:" ? "; secure" : "");
}

// Live calls: a fragment of HTML every two seconds, put in where it differs. What has the focus keeps it, and who
// reads can hold the page still (WCAG 2.2.2).
const live = document.getElementById("live");
if (live) {
  const state = document.getElementById("live-state");
  const hold = document.getElementById("live-hold");
  let still = false, last = live.innerHTML, busy = false;
  state.hidden = hold.hidden = false;
  state.textContent = state.dataset.live;
  hold.addEventListener("click", () => {
    still = !still;
    hold.textContent = still ? hold.dataset.go : hold.dataset.hold;
  });
  const refresh = async () => {
    if (still || busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(live.dataset.live, { headers: { "X-Unattended": "1" }, cache: "no-store", redirect: "error" });
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const html = await answer.text();
      if (state.textContent !== state.dataset.live) state.textContent = state.dataset.live;
      if (html !== last && !still) put(html);
      last = html;
    } catch {
      if (state.textContent !== state.dataset.lost) state.textContent = state.dataset.lost;
    } finally {
      busy = false;
    }
  };
  const put = (html) => {
    const focus = document.activeElement;
    const row = focus && focus.closest("tr[data-id]");
    const action = focus && focus.closest("form") && focus.closest("form").getAttribute("action");
    const before = new Set([...live.querySelectorAll("tr[data-id]")].map((r) => r.dataset.id));
    live.innerHTML = html; // our own template's, escaped on the server
    for (const r of live.querySelectorAll("tr[data-id]")) if (!before.has(r.dataset.id)) r.classList.add("new");
    if (row && live.contains(row) === false && action) {
      const again = [...live.querySelectorAll("form")].find((f) => f.getAttribute("action") === action);
      if (again) again.querySelector("button").focus();
    }
  };
  setInterval(refresh, 2000);
}

// The player: a needle over the waveform, a click on it seeks, and so do the events' buttons.
const player = document.getElementById("player");
if (player) {
  const wave = document.getElementById("wave");
  const needle = document.createElement("div");
  needle.className = "needle";
  wave.append(needle);
  wave.classList.add("seekable");
  const draw = () => {
    const share = player.duration ? player.currentTime / player.duration : 0;
    needle.style.left = 100 * share + "%";
  };
  for (const kind of ["timeupdate", "seeked", "loadedmetadata"]) player.addEventListener(kind, draw);
  const seek = (seconds) => {
    const go = () => { player.currentTime = Math.min(seconds, player.duration || seconds); player.play(); };
    if (player.readyState > 0) return go();
    player.addEventListener("loadedmetadata", go, { once: true });
    player.load();
  };
  wave.addEventListener("click", (e) => {
    const box = wave.getBoundingClientRect();
    const share = (e.clientX - box.left) / box.width;
    if (player.duration) return seek(share * player.duration);
    player.addEventListener("loadedmetadata", () => seek(share * player.duration), { once: true });
    player.load();
  });
  for (const button of document.querySelectorAll("button[data-seek]")) {
    button.hidden = false;
    button.addEventListener("click", () => seek(Number(button.dataset.seek)));
  }
}

for (const button of document.querySelectorAll("button[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

// A form that was sent isn't sent twice.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    setTimeout(() => form.querySelectorAll("button").forEach((b) => { b.disabled = true; }), 0);
    setTimeout(() => form.querySelectorAll("button").forEach((b) => { b.disabled = false; }), 4000);
  });
}
