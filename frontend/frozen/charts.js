// Draws the charts of the page; colours of texts and grids are in style.css.
const HEIGHT = 360, PRINTED_WIDTH = 640;  // pixels
const charts = [...document.querySelectorAll(".chart")];

function draw(box) {
  const figure = JSON.parse(box.nextElementSibling.textContent);
  const style = getComputedStyle(document.documentElement);
  const [ink, back, line] = ["--ink", "--back", "--line"].map((name) => style.getPropertyValue(name).trim());
  const layout = figure.layout;
  layout.height = HEIGHT;
  layout.font = { ...layout.font, color: ink, family: "system-ui, sans-serif" };
  layout.hoverlabel = { bgcolor: back, bordercolor: line, font: { color: ink } };
  if (matchMedia("(pointer: coarse)").matches) layout.dragmode = false;  // a finger scrolls the page
  Plotly.react(box, figure.data, layout, figure.config).then(() => {
    const legend = box.querySelector(".legend");  // below the axes, which it must not squash
    if (legend) Plotly.relayout(box, { height: HEIGHT + legend.getBoundingClientRect().height });
  });
}

function open(event, box) {
  const run = parseInt([event.points[0].customdata].flat()[0], 10);
  if (run > 0) location.href = `${box.dataset.runs}${run}.html`;
}

for (const box of charts) {
  draw(box);
  box.on("plotly_click", (event) => open(event, box));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(draw));
window.addEventListener("beforeprint", () => {
  for (const box of charts) Plotly.relayout(box, { width: PRINTED_WIDTH, autosize: false });
});
window.addEventListener("afterprint", () => {
  for (const box of charts) Plotly.relayout(box, { width: null, autosize: true });
});
