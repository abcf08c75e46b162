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
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      target.blur?.();  // the page takes what was typed
      document.querySelector(".st-key-launch-button button:enabled")?.click();
      return;
    }
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
  // Half a number, such as "1e", reaches the page as no number: the input shows none either
  const clear = ({ target }) => { if (target.validity?.badInput) target.value = ""; };
  dialog.stopListening?.();  // Streamlit calls this function for new data too: the last call alone listens
  opener.addEventListener("click", show);
  closer.addEventListener("click", hide);
  document.addEventListener("keydown", press);
  document.addEventListener("focusout", clear);
  dialog.stopListening = () => {
    document.removeEventListener("keydown", press);
    document.removeEventListener("focusout", clear);
    opener.removeEventListener("click", show);
    closer.removeEventListener("click", hide);
  };
  return dialog.stopListening;
}
