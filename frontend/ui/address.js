// Streamlit's own parameters of the link would add an entry to the browser's history with every change.
export default function({ data }) {
  const address = new URL(window.location.href);
  if (data.value) address.searchParams.set(data.name, data.value);
  else address.searchParams.delete(data.name);
  if (address.href !== window.location.href) window.history.replaceState({}, "", address);
}
