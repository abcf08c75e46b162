export default function(component) {
  const { data } = component;
  const before = window.densitylabPage;
  window.densitylabPage = data.page;
  if (before !== undefined && before !== data.page) {
    document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
  }
}
