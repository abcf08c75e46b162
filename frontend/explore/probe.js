const decoded = new WeakMap();
const valuesOf = (image) => {
  if (decoded.get(image)?.text !== image.dataset.values) {
    const bytes = Uint8Array.from(atob(image.dataset.values), (letter) => letter.charCodeAt(0));
    decoded.set(image, { text: image.dataset.values, whole: new Int16Array(bytes.buffer) });
  }
  return decoded.get(image).whole;
};
export default function(component) {
  const box = component.parentElement.querySelector(".dl-probe");
  const move = (event) => {
    const under = event.target.closest?.("img[data-values]");
    if (!under) { box.hidden = true; return; }
    const x = Math.min(Math.floor(event.offsetX / under.clientWidth * under.naturalWidth), under.naturalWidth - 1);
    const y = Math.min(Math.floor(event.offsetY / under.clientHeight * under.naturalHeight), under.naturalHeight - 1);
    if (x < 0 || y < 0) return;
    box.textContent = `row ${y}, column ${x}`;
    for (const image of under.closest(".dl-card").querySelectorAll("img[data-values]")) {
      const whole = valuesOf(image)[y * image.naturalWidth + x];
      const value = whole === -32768 ? "not a number" : (whole * Number(image.dataset.unit)).toPrecision(3);
      const line = document.createElement("div");
      line.textContent = `${image.dataset.name}: ${value}`;
      if (image === under) line.style.fontWeight = "700";
      box.append(line);
    }
    box.hidden = false;
    box.style.left = `${Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8)}px`;
    box.style.top = `${Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)}px`;
  };
  document.addEventListener("pointermove", move);
  return () => document.removeEventListener("pointermove", move);
}
