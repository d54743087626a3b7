// What "Try it out" begins with, so that it works as it stands. JSON comes before forms, and what a form may lack is
// empty there: it would say "string" in each field. Examples are of the server that is asked: its version, one of its
// pictures, a word that its model knows. Without a version, or where searching takes a key, the document's own stay.

const JSON_BODY = "application/json";
const FORMS = ["multipart/form-data", "application/x-www-form-urlencoded"];

/** Returns `spec` with such examples; `base` is where the server's own addresses begin. */
export async function withExamples(spec, base) {
  const whole = structuredClone(spec);
  const operations = Object.values(whole.paths).flatMap((routes) => Object.values(routes));
  for (const { requestBody } of operations) if (requestBody) requestBody.content = prepared(requestBody.content, whole);
  const found = await whatThereIs(base);
  const wanted = found === null ? {} : examples(found);
  for (const operation of operations) fill(operation, wanted[operation.operationId] ?? {}, found?.everywhere ?? {});
  return whole;
}

/** JSON first; forms with the fields that they need, and empty ones. */
function prepared(content, { components }) {
  for (const type of FORMS.filter((each) => each in content)) {
    const { schema } = content[type];
    const { properties, required = [], ...rest } = structuredClone(schema.$ref ? components.schemas[schema.$ref.split("/").pop()] : schema);
    const fields = Object.entries(properties).map(([name, field]) => {
      const begun = required.includes(name) || field.default !== undefined || isFile(field);
      return [name, begun ? field : empty(field)];
    });
    content[type] = { ...content[type], schema: { ...rest, required, properties: Object.fromEntries(fields) } };
  }
  return JSON_BODY in content ? { [JSON_BODY]: content[JSON_BODY], ...content } : content;
}

// Of any length and kind, so that the page lets it pass; the server takes an empty field for none.
function empty({ enum: choices, description }) {
  return { type: "string", enum: choices, description, example: "" };
}

function isFile({ format, contentMediaType, anyOf = [] }) {
  return format === "binary" || contentMediaType !== undefined || anyOf.some(isFile);
}

async function whatThereIs(base) {
  try {
    const { version, model, pictures } = await asked(new URL("api/overview?pictures=1", base));
    const { suggestions } = await asked(new URL("api/words", base));
    const dump = { method: "POST", headers: { "Content-Type": JSON_BODY }, body: JSON.stringify({ limit: 1 }) };
    const dumped = await asked(new URL("models/default/dump", base), dump);
    const [picture] = pictures;
    if (!picture) return null;
    // A name that no version has yet: it is built, and deleted, by what is tried out.
    const fresh = `try-${new Date().toISOString().replace(/\D/g, "").slice(0, 14)}`;
    return { version, path: picture.path, word: suggestions[0], dumped, fresh, everywhere: { row: picture.row, version, assume_model: model } };
  } catch {
    return null;
  }
}

async function asked(address, options) {
  const response = await fetch(address, options);
  if (!response.ok) throw new Error(`${address.pathname}: ${response.status}`);
  return response.json();
}

/** By the operation's id: values of its parameters by their names, and its bodies by their types. */
function examples({ version, path, word, dumped, fresh }) {
  const url = { body: { url: path } };
  return {
    search: { body: { path, top_k: 5 } },
    predict: { body: { path, top_k: 5, debug: true } },
    searchForm: { form: { search_text: word } },
    reindex: { prefer: "respond-async", body: { new_index_database_version: fresh } },
    getVersion: { name: version },
    listSkipped: { name: version },
    verifyVersion: { name: version },
    promoteVersion: { name: version },
    deleteVersion: { name: fresh },
    createCollection: { body: { name: "shoes" } },
    copyCollection: { name: "shoes", body: { to: "shoes-copy" } },
    indexCollection: { name: "shoes", body: { kind: null } },
    foldCollection: { name: "shoes" },
    setAlias: { body: { collection: "shoes" } },
    getCollectionThumbnail: { url: path },
    addImage: url,
    addImages: { body: [url.body] },
    removeImage: url,
    searchAddImage: url,
    compareImages: { body: { url: path, other: path } },
    searchImages: { body: { url: path, limit: 5 } },
    restoreImages: { body: dumped },
  };
}

function fill(operation, { body, form, ...values }, everywhere) {
  for (const parameter of operation.parameters ?? []) {
    // Of a parameter, the page takes no example from the list in its schema.
    const value = values[parameter.name] ?? everywhere[parameter.name] ?? parameter.schema?.examples?.[0];
    if (value !== undefined) parameter.example = value;
  }
  const content = operation.requestBody?.content ?? {};
  if (body && content[JSON_BODY]) content[JSON_BODY].example = body;
  for (const type of FORMS.filter((each) => form && each in content)) {
    for (const [name, value] of Object.entries(form)) Object.assign(content[type].schema.properties[name], { examples: [value], example: value });
  }
}
