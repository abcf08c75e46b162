export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const box = parentElement.querySelector(".densitylab-chart");
  if (!box) return;
  box.pending = data;
  box.trigger = setTriggerValue;
  box.setAttribute("aria-label", data.label);
  // Draw only charts near the viewport: a page of ten charts shows its first ones sooner
  if (!box.watched) {
    box.watched = new IntersectionObserver((entries) => {
      box.near = entries.at(-1).isIntersecting;
      box.draw();
    }, { root: box.closest("[data-testid=stMain]"), rootMargin: "300px" });
    box.watched.observe(box);
    // The text colour changes with the theme, and its transition (in the chart's style) says so
    box.addEventListener("transitionend", (event) => {
      if (event.target !== box || event.propertyName !== "color") return;
      box.drawn = null;
      box.draw();
    });
  }
  box.draw = () => {
    if (!box.near || box.drawn === box.pending || box.waiting) return;
    const Plotly = window.densitylabPlotly;
    if (!Plotly) {
      box.waiting = setTimeout(() => { box.waiting = null; box.draw(); }, 50);
      return;
    }
    box.drawn = box.pending;
    const figure = JSON.parse(box.pending.figure);
    const style = getComputedStyle(box);
    const text = style.getPropertyValue("--st-text-color").trim() || "#31333F";
    const line = style.getPropertyValue("--st-border-color").trim() || "rgba(128,128,128,0.25)";
    const grid = "rgba(128,128,128,0.18)";
    const back = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
    const layout = figure.layout;
    layout.height = box.pending.height;
    if (box.clientWidth < 560 && layout.legend) {  // on a phone a legend beside the plot leaves no room for it
      const below = { orientation: "h", x: 0, xanchor: "left", y: -0.25, yanchor: "top", maxheight: 0.3 };
      layout.legend = { ...layout.legend, ...below };
    }
    layout.modebar = { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: line, activecolor: text };
    layout.font = { ...layout.font, color: text, family: style.getPropertyValue("--st-font").trim() || "sans-serif" };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: back, bordercolor: line, font: { color: text } };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis[0-9]*$/.test(name)) {
        layout[name] = { ...layout[name], gridcolor: grid, linecolor: line, zerolinecolor: grid };
      }
    }
    const file = { filename: box.pending.name, scale: 2 };
    const svg = {
      name: "Download plot as SVG", icon: Plotly.Icons.disk, click: (chart) => Plotly.downloadImage(
        chart, { format: "svg", filename: box.pending.name, width: chart.offsetWidth, height: chart.offsetHeight }),
    };
    // Reuse the object: Plotly treats a new function as a new configuration, and resets zoom and hidden traces
    const config = box.config ||= {
      ...box.pending.config, modeBarButtonsToAdd: [svg], toImageButtonOptions: { format: "png", ...file },
    };
    Plotly.react(box, figure.data, layout, config).then(() => {
      box.dataset.points = figure.data.reduce((sum, trace) => sum + ((trace.x && trace.x.length) || 0), 0);
      if (box.listening) return;
      box.listening = true;
      box.on("plotly_click", (event) => {
        const chosen = event.points[0].customdata;
        if (chosen !== undefined && box.pending.clickable) box.trigger("clicked", chosen);
      });
      // Linked charts show the point or curve of the same label
      const others = () => [...document.querySelectorAll(".densitylab-chart")].filter(
        (other) => other !== box && box.pending.linked && other.pending.linked && other._fullLayout);
      box.on("plotly_hover", (event) => {
        const point = event.points[0], label = point.text || point.data.name;
        for (const other of others()) {
          for (const [curveNumber, trace] of (other.data || []).entries()) {
            const texts = Array.isArray(trace.text) ? trace.text : [];
            const index = trace.name === label && trace.x ? trace.x.length - 1 : texts.indexOf(label);
            if (index < 0) continue;
            Plotly.Fx.hover(other, [{ curveNumber, pointNumber: index }], "xy", true);
            break;
          }
        }
      });
      box.on("plotly_unhover", () => others().forEach((other) => Plotly.Fx.unhover(other, undefined, "xy", true)));
    });
  };
  box.draw();
}
