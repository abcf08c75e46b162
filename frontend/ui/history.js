// Where a button opens a page, Streamlit first adds an entry with the new parameters at the old page, and then one of the
// new page: the second takes the place of the first, unless the user has pressed something between them.
export default function() {
  const { history } = window;
  if (history.densitylab) return;
  const push = history.pushState.bind(history);
  let ofParameters = "";
  for (const pressed of ["pointerdown", "keydown"]) {
    window.addEventListener(pressed, () => { ofParameters = ""; }, { capture: true });
  }
  history.densitylab = true;
  history.pushState = (state, title, url) => {
    const target = new URL(url ?? window.location.href, window.location.href);
    const samePage = target.pathname === window.location.pathname;
    if (!samePage && ofParameters === window.location.href) history.replaceState(state, title, url);
    else push(state, title, url);
    ofParameters = samePage ? target.href : "";
  };
}
