// A hashlake gateway from JavaScript and TypeScript. Every route of its OpenAPI document, with the types of its
// parameters, bodies and answers; errors are thrown.
//
//   const lake = hashlake("http://127.0.0.1:8000", process.env.HASHLAKE_KEY);
//   const { data } = await lake.GET("/api/overview");
//   const found = await search(lake, { image: await openAsBlob("photo.jpg"), top_k: 5 });

import createClient, { type Client, type Middleware } from "openapi-fetch";

import type { components, operations, paths } from "./schema.js";

export type { components, operations, paths };

/** All routes: `GET("/api/versions")`, `POST("/api/reindex", { body: … })`, … */
export type Hashlake = Client<paths>;
export type SearchAnswer = components["schemas"]["SearchAnswer"];
type SearchFields = operations["search"]["requestBody"] extends { content: infer Content } | undefined
  ? Content extends { "application/json": infer Fields }
    ? Fields
    : never
  : never;
/** What `POST /api/search` takes; `image` is a file, or base64. */
export type Asked = Omit<SearchFields, "image"> & { image?: Blob | string };

/** The gateway refused: `status` is HTTP's, `reason` the kind of error, `message` what was wrong, `advice` what to do. */
export class Refused extends Error {
  override name = "Refused";

  constructor(
    readonly status: number,
    message: string,
    readonly reason: string | null = null,
    readonly advice = "",
  ) {
    super(message);
  }
}

/** The gateway at `url`. `key`: an API key, where it asks for one. What it refuses is thrown as `Refused`. */
export function hashlake(url = "http://127.0.0.1:8000", key?: string): Hashlake {
  const client = createClient<paths>({ baseUrl: url.replace(/\/+$/, ""), headers: key ? { "X-API-Key": key } : {} });
  client.use(throwing);
  return client;
}

/** Searches the datalake, or a collection; a picture is sent as it is. */
export async function search(lake: Hashlake, asked: Asked): Promise<SearchAnswer> {
  const { image, ...fields } = asked;
  const { data } = await lake.POST("/api/search", {
    body: asked as SearchFields,
    ...(image instanceof Blob ? { bodySerializer: () => form(image, fields) } : {}),
  });
  return data as SearchAnswer;
}

function form(image: Blob, fields: object): FormData {
  const sent = new FormData();
  sent.set("image", image);
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) sent.set(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return sent;
}

const throwing: Middleware = {
  async onResponse({ response }) {
    if (!response.ok) throw await refusal(response);
  },
};

async function refusal(response: Response): Promise<Refused> {
  try {
    const { message, reason, advice } = await response.json();
    if (typeof message === "string") return new Refused(response.status, message, reason ?? null, advice ?? "");
  } catch {
    // A proxy's page, or nothing.
  }
  return new Refused(response.status, `the server answered ${response.status} ${response.statusText}`.trim());
}
