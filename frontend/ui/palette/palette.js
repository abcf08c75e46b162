const SHOWN = 12;

export default function(component) {
  const { data, setTriggerValue } = component;
  const dialog = component.parentElement.querySelector("dialog");
  const field = dialog.querySelector("input");
  const list = dialog.querySelector("ul");
  let found = [], selected = 0;

  const matching = () => {
    const text = field.value.trim().toLowerCase(), words = text.split(/\s+/);
    const number = text.match(/^(?:\D*\s)?#?(\d{1,10})$/)?.[1];
    const numbered = number ? data.numbered.map(([label, page, name]) => (
      { label: label.replace("{}", number), page, query: { [name]: number } })) : [];
    const named = data.destinations.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word)));
    const others = numbered.filter(({ label }) => !named.some((item) => item.label.startsWith(`${label} ·`)));
    const fitting = others.filter(({ label }) => words.every((word) => label.toLowerCase().includes(word.replace("#", ""))));
    return [...named, ...fitting].slice(0, SHOWN);
  };
  const draw = () => {
    found = matching();
    selected = Math.min(selected, Math.max(0, found.length - 1));
    list.replaceChildren(...found.map(({ label }, index) => {
      const item = document.createElement("li");
      item.id = `densitylab-destination-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", index === selected);
      item.textContent = label;
      item.addEventListener("click", () => choose(index));
      return item;
    }));
    if (!found.length) {
      const nothing = document.createElement("p");
      nothing.textContent = "Nothing has this name. A number finds any run and experiment.";
      list.replaceChildren(nothing);
    }
    field.setAttribute("aria-activedescendant", found.length ? `densitylab-destination-${selected}` : "");
    list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  };
  const choose = (index) => {
    if (!found[index]) return;
    dialog.close();
    setTriggerValue("chosen", { page: found[index].page, query: found[index].query });
  };
  const open = (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) { dialog.close(); return; }
    field.value = "";
    selected = 0;
    draw();
    dialog.showModal();
    field.focus();
    setTriggerValue("asked", true);
  };
  const type = () => { selected = 0; draw(); };
  const move = (event) => {
    event.stopPropagation();  // keys of the page are not meant while one types here
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) { open(event); return; }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) {
      event.preventDefault();
      selected = (selected + step + found.length) % found.length;
      draw();
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(selected);
    }
  };
  const outside = (event) => { if (event.target === dialog) dialog.close(); };

  dialog.stopListening?.();  // Streamlit calls this function for new data too: the last call alone listens
  if (dialog.open) draw();  // experiments and runs have arrived
  document.addEventListener("keydown", open);
  field.addEventListener("input", type);
  field.addEventListener("keydown", move);
  dialog.addEventListener("click", outside);
  dialog.stopListening = () => {
    document.removeEventListener("keydown", open);
    field.removeEventListener("input", type);
    field.removeEventListener("keydown", move);
    dialog.removeEventListener("click", outside);
  };
  return dialog.stopListening;
}
