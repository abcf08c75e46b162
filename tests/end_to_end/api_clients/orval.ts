// A session with orval's client for axios.
import axios from "axios";

import {
  askForAttribution,
  cancelRun,
  deleteExperiment,
  downloadArrays,
  getAttribution,
  getExperiment,
  getRunMetrics,
  launchExperiment,
  listRuns,
  type RunSpec,
} from "./generated/orval.js";
import { always, report, sleep } from "./session.js";

axios.defaults.baseURL = always(process.env.DENSITYLAB_API_URL);
axios.defaults.adapter = "fetch"; // the one of Node.js has no blobs
axios.defaults.paramsSerializer = { indexes: null }; // repeats a parameter

async function launch(spec: RunSpec, lambdas: number[]) {
  return (await launchExperiment({ name: "orval", spec, sweep: { lambda_: lambdas } })).data;
}

async function finished(id: number) {
  for (;;) {
    const { data } = await getExperiment(id);
    if (data.finished) return data;
    await sleep(500);
  }
}

const measured = await launch({ epochs: 1, train_samples: 200, evaluations: [] }, [0, 0.1]);
await finished(measured.id);
const runs = (await listRuns({ experiment: [measured.id] })).data.items;
const run = always(runs[0]);
const accuracy = always(run.results["accuracy.accuracy"]);
const curves = (await getRunMetrics(run.id)).data;
let maps = (await askForAttribution({ runs: runs.map((item) => item.id), samples: { indices: [0, 1] } })).data;
while (maps.status === "queued" || maps.status === "running") {
  await sleep(300);
  maps = (await getAttribution(maps.id)).data;
}
const arrays = (await downloadArrays(maps.id)).data;

const long = await launch({ epochs: 5000 }, [0.1]);
for (const id of long.runs) await cancelRun(id);
const cancelled = await finished(long.id);
for (const id of [measured.id, long.id]) await deleteExperiment(id);
report({
  evaluated: accuracy.n,
  points: always(curves.items[0]).points.length,
  panels: maps.panels.length,
  bytes: arrays.size,
  cancelled: cancelled.counts["cancelled"] ?? 0,
});
