// Streamlit's page turns white where a part of the page before is refreshed just after another one was opened: its
// elements have no place there ("Bad delta path index"). Loading the page again shows it whole.
const PAUSE = 10000; // milliseconds between two reloads, lest a page that is always broken be loaded for ever
const LAST = "densitylab_reloaded";

export default function() {
  if (window.densitylabRecovers) return;
  window.densitylabRecovers = true;
  window.addEventListener("error", (event) => {
    const last = Number(sessionStorage.getItem(LAST) ?? 0);
    if (!event.message?.includes("Bad delta path index") || Date.now() - last < PAUSE) return;
    sessionStorage.setItem(LAST, String(Date.now()));
    window.location.reload();
  });
}
