const KEY = "densitylab-return-link";

export default function(component) {
  const here = location.pathname + location.search;
  if (component.data.waiting) {
    sessionStorage.setItem(KEY, here);
    return;
  }
  const link = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (link && link !== here) location.replace(location.origin + link);
}
