export default function(component) {
  const { data, parentElement } = component;
  const box = parentElement.querySelector(".densitylab-views");
  if (!box || box.drawn) return;
  box.drawn = true;
  const key = `densitylab-views-${data.page}`;
  const read = () => { try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; } };
  const make = (tag, text, properties = {}) => Object.assign(document.createElement(tag), { textContent: text, ...properties });
  const draw = () => {
    const views = read();
    const write = (changed) => { localStorage.setItem(key, JSON.stringify(changed)); draw(); };
    const items = Object.entries(views).map(([name, query]) => {
      const item = make("span", "", { className: "view" });
      const remove = make("button", "✕", { type: "button", ariaLabel: `Remove the view ${name}` });
      remove.onclick = () => { const rest = read(); delete rest[name]; write(rest); };
      item.append(make("a", name, { href: `${data.page}${query}`, target: "_self" }), remove);
      return item;
    });
    const form = make("form", "");
    const field = make("input", "", { placeholder: "name this view", ariaLabel: "Name of the view", maxLength: 60, required: true });
    form.append(field, make("button", "Save view", { type: "submit" }));
    form.onsubmit = (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (name) write({ ...read(), [name]: location.search });
    };
    box.replaceChildren(...items, form);
  };
  draw();
}
