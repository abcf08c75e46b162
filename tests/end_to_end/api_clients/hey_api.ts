// A session with the client of @hey-api/openapi-ts.
import { client } from "./generated/hey/client.gen.js";
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
} from "./generated/hey/index.js";
import { always, report, sleep } from "./session.js";

client.setConfig({ baseUrl: always(process.env.DENSITYLAB_API_URL) });

async function launch(spec: RunSpec, lambdas: number[]) {
  const body = { name: "hey-api", spec, sweep: { lambda_: lambdas } };
  return (await launchExperiment({ body, throwOnError: true })).data;
}

async function finished(experiment_id: number) {
  for (;;) {
    const { data } = await getExperiment({ path: { experiment_id }, throwOnError: true });
    if (data.finished) return data;
    await sleep(500);
  }
}

const measured = await launch({ epochs: 1, train_samples: 200, evaluations: [] }, [0, 0.1]);
await finished(measured.id);
const runs = (await listRuns({ query: { experiment: [measured.id] }, throwOnError: true })).data.items;
const run = always(runs[0]);
const accuracy = always(run.results["accuracy.accuracy"]);
const curves = (await getRunMetrics({ path: { run_id: run.id }, throwOnError: true })).data;
const body = { runs: runs.map((item) => item.id), samples: { indices: [0, 1] } };
let maps = (await askForAttribution({ body, throwOnError: true })).data;
const path = { attribution_id: maps.id };
while (maps.status === "queued" || maps.status === "running") {
  await sleep(300);
  maps = (await getAttribution({ path, throwOnError: true })).data;
}
const arrays = (await downloadArrays({ path, parseAs: "blob", throwOnError: true })).data;

const long = await launch({ epochs: 5000 }, [0.1]);
for (const run_id of long.runs) await cancelRun({ path: { run_id }, throwOnError: true });
const cancelled = await finished(long.id);
for (const experiment_id of [measured.id, long.id]) {
  await deleteExperiment({ path: { experiment_id }, throwOnError: true });
}
report({
  evaluated: accuracy.n,
  points: always(curves.items[0]).points.length,
  panels: maps.panels.length,
  bytes: arrays.size,
  cancelled: cancelled.counts["cancelled"] ?? 0,
});
