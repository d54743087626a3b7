// The routes, from the OpenAPI document beside this page. What is tried out goes there too, below whatever prefix a proxy
// has put it.

import { withExamples } from "./examples.js";

const base = new URL(".", document.baseURI).href;
const response = await fetch(document.querySelector("link[rel=service-desc]").href);
const spec = await withExamples(await response.json(), base);

window.SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: base }] },
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
});
