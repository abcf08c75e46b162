const LINES = 2;
let kept = null;  // index of the frame that was shown last: another image begins there

const element = (name, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
};

export default function(component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".densitylab-lambda");
  const last = data.frames.length - 1;
  const start = Math.min(kept ?? data.start, last);

  // Decoded once: a move changes the address of a picture that is in memory
  const decoded = data.frames.map(({ pictures }) => pictures.map(({ url }) => Object.assign(new Image(), { src: url })));
  const size = { width: data.width, height: data.height };
  const figures = data.heads.map((head, index) => {
    const picture = element("img", size), pixels = element("span", { className: "pixels" }, picture);
    if (data.mask && index !== 3) pixels.append(element("img", { ...size, className: "mask", src: data.mask, alt: "" }));
    const lines = Array.from({ length: LINES }, () => element("span"));
    const caption = element("figcaption", {}, element("strong", { textContent: head }), ...lines);
    return { picture, lines, head, box: element("figure", {}, pixels, caption) };
  });
  const slider = element("input", { type: "range", min: 0, max: last, step: 1, value: start });
  slider.setAttribute("aria-label", "λ");
  const shown = element("output"), results = element("p", { className: "results" });
  const run = element("a", { target: "_self" });
  const moving = element("div", { className: "moving" }, slider, shown, run);
  root.replaceChildren(moving, results, element("div", { className: "pictures" }, ...figures.map(({ box }) => box)));

  const paint = () => {
    const index = Number(slider.value), frame = data.frames[index];
    shown.textContent = frame.label;
    slider.setAttribute("aria-valuetext", frame.label);
    results.textContent = frame.results;
    run.textContent = `run ${frame.run}`;
    run.href = `run?run=${frame.run}`;
    figures.forEach(({ picture, lines, head }, place) => {
      const { lines: texts, wrong } = frame.pictures[place];
      picture.src = decoded[index][place].src;
      picture.alt = `${head}, ${frame.label}: ${texts.join("; ")}`;
      lines.forEach((line, row) => {
        line.textContent = texts[row] ?? "";
        line.className = wrong && row === 0 ? "wrong" : "";
      });
    });
    kept = index;
  };
  const press = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const target = event.composedPath()[0];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName || "")) return;  // the slider moves itself
    if (target.closest?.("[role=tablist], [role=listbox], [role=radiogroup], canvas")) return;
    event.preventDefault();
    slider.value = Number(slider.value) + step;
    paint();
  };
  root.stopListening?.();  // Streamlit calls this function for new data too: the last call alone listens
  slider.addEventListener("input", paint);
  document.addEventListener("keydown", press);
  root.stopListening = () => document.removeEventListener("keydown", press);
  paint();
  return root.stopListening;
}
