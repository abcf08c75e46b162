// Where a button opens a page, Streamlit first adds an entry with the new parameters at the old page, and then one of the
// new page: the second takes the place of the first.
const JOINED_WITHIN = 1000; // milliseconds

export default function() {
  const { history } = window;
  if (history.densitylab) return;
  const push = history.pushState.bind(history);
  let ofParameters = { href: "", at: 0 };
  history.densitylab = true;
  history.pushState = (state, title, url) => {
    const target = new URL(url ?? window.location.href, window.location.href);
    const samePage = target.pathname === window.location.pathname;
    const joined = !samePage && ofParameters.href === window.location.href &&
      performance.now() - ofParameters.at < JOINED_WITHIN;
    if (joined) history.replaceState(state, title, url);
    else push(state, title, url);
    if (samePage) ofParameters = { href: target.href, at: performance.now() };
  };
}
