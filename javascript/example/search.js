// After npm install: node example/search.js PICTURE
// HASHLAKE_URL says where the gateway is, HASHLAKE_KEY has the key, where it asks for one.

import { openAsBlob } from "node:fs";
import { argv, env } from "node:process";

import { Refused, hashlake, search } from "../dist/index.js";

const lake = hashlake(env.HASHLAKE_URL, env.HASHLAKE_KEY);
const { data: overview } = await lake.GET("/api/overview", { params: { query: { pictures: 1 } } });
console.log(`${overview?.count} pictures in version ${overview?.version}`);

const picture = argv[2];
if (picture !== undefined) {
  const { results } = await search(lake, { image: await openAsBlob(picture), top_k: 3 });
  for (const { path, distance } of results) console.log(distance, path);
}

try {
  await lake.GET("/api/versions/{name}", { params: { path: { name: "none" } } });
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.log(error.status, error.reason);
}
