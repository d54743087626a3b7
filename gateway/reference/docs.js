// The routes, from the OpenAPI document beside this page. What is tried out goes there too, below whatever prefix a proxy
// has put it.

const response = await fetch(document.querySelector("link[rel=service-desc]").href);
const spec = await response.json();

window.SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: new URL(".", document.baseURI).href }] },
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
});
