export default function({ data }) {
  if (document.querySelector("script[data-densitylab-plotly]")) return;
  const script = document.createElement("script");
  script.dataset.densitylabPlotly = "";
  script.src = data.library;
  script.onload = () => { window.densitylabPlotly = window.Plotly || window.moduleName; };
  document.head.append(script);
}
