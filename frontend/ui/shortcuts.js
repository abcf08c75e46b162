export default function(component) {
  const { data, setTriggerValue } = component;
  const dialog = component.parentElement.querySelector("dialog");
  const opener = component.parentElement.querySelector(".densitylab-keys");
  const closer = dialog.querySelector("button");
  const show = () => { if (!dialog.open) dialog.showModal(); };
  const hide = () => dialog.close();
  let waiting = 0;  // when g was pressed
  const press = (event) => {
    const target = event.composedPath()[0];
    const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName || "");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const after = event.timeStamp - waiting < 1500;
    waiting = 0;
    if (after && data.pages.includes(event.key)) {
      event.preventDefault(); setTriggerValue("pressed", event.key);
    } else if (event.key === "g") {
      waiting = event.timeStamp;
    } else if (event.key === "?") {
      event.preventDefault(); show();
    } else if (event.key === "/") {
      const field = [...document.querySelectorAll("input[type=text]")].find(
        (item) => /search/i.test(item.getAttribute("aria-label") || ""));
      if (field) { event.preventDefault(); field.focus(); }
    } else if (event.key === "p") {
      const pause = [...document.querySelectorAll("label")].find((item) => item.textContent.trim() === "Pause");
      if (pause) pause.click();
    }
  };
  opener.addEventListener("click", show);
  closer.addEventListener("click", hide);
  document.addEventListener("keydown", press);
  return () => {
    document.removeEventListener("keydown", press);
    opener.removeEventListener("click", show);
    closer.removeEventListener("click", hide);
  };
}
