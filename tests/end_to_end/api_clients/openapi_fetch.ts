// A session with the types of openapi-typescript and the client openapi-fetch.
import createClient from "openapi-fetch";

import type { components, paths } from "./generated/schema.js";
import { always, report, sleep } from "./session.js";

const api = createClient<paths>({ baseUrl: always(process.env.DENSITYLAB_API_URL) });

async function launch(spec: components["schemas"]["RunSpec"], lambdas: number[]) {
  const { data, error } = await api.POST("/api/v1/experiments", {
    body: { name: "openapi-fetch", spec, sweep: { lambda_: lambdas } },
  });
  if (error) throw new Error(error.detail);
  return data;
}

async function finished(id: number) {
  for (;;) {
    const { data, error } = await api.GET("/api/v1/experiments/{experiment_id}", {
      params: { path: { experiment_id: id } },
    });
    if (error) throw new Error(error.detail);
    if (data.finished) return data;
    await sleep(500);
  }
}

const measured = await launch({ epochs: 1, train_samples: 200, evaluations: [] }, [0, 0.1]);
await finished(measured.id);
const runs = always((await api.GET("/api/v1/runs", { params: { query: { experiment: [measured.id] } } })).data);
const [run] = runs.items;
const accuracy = always(always(run).results["accuracy.accuracy"]);
const curves = always(
  (await api.GET("/api/v1/runs/{run_id}/metrics", { params: { path: { run_id: always(run).id } } })).data,
);
const asked = always(
  (
    await api.POST("/api/v1/attributions", {
      body: { runs: runs.items.map((item) => item.id), samples: { indices: [0, 1] } },
    })
  ).data,
);
let maps = asked;
while (maps.status === "queued" || maps.status === "running") {
  await sleep(300);
  const path = { attribution_id: asked.id };
  maps = always((await api.GET("/api/v1/attributions/{attribution_id}", { params: { path } })).data);
}
const arrays = always(
  (
    await api.GET("/api/v1/attributions/{attribution_id}/arrays", {
      params: { path: { attribution_id: asked.id } },
      parseAs: "arrayBuffer",
    })
  ).data,
);

const long = await launch({ epochs: 5000 }, [0.1]);
for (const id of long.runs) {
  await api.POST("/api/v1/runs/{run_id}/cancel", { params: { path: { run_id: id } } });
}
const cancelled = await finished(long.id);
for (const experiment_id of [measured.id, long.id]) {
  const { error } = await api.DELETE("/api/v1/experiments/{experiment_id}", { params: { path: { experiment_id } } });
  if (error) throw new Error(error.detail);
}
report({
  evaluated: accuracy.n,
  points: always(curves.items[0]).points.length,
  panels: maps.panels.length,
  bytes: arrays.byteLength,
  cancelled: cancelled.counts["cancelled"] ?? 0,
});
