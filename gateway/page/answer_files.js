// An answer as files and as code: what a program would have got.

/** [{path, distance, closeness, cosine, metadata}] of results, as JSON text. */
export function asJson(results) {
  return `${JSON.stringify(results.map(({ path, ...known }) => ({ path, ...told(known) })), null, 2)}\n`;
}

/** The same as CSV, metadata in JSON. */
export function asCsv(results) {
  const names = ["path", "distance", "closeness", "cosine", "metadata"];
  const line = (values) => values.map(cell).join(",");
  const rows = results.map(({ path, ...known }) => {
    const { distance, closeness, cosine, metadata } = told(known);
    return line([path, distance, closeness, cosine, metadata === null ? "" : JSON.stringify(metadata)]);
  });
  return `${[line(names), ...rows].join("\r\n")}\r\n`;
}

const told = ({ distance, closeness, cosine, metadata }) => ({ distance, closeness, cosine, metadata: metadata ?? null });

// A spreadsheet would compute what begins like a formula (https://owasp.org/www-community/attacks/CSV_Injection).
function cell(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * The search as a command: asCurl({path: "a.jpg"}, "http://…/", false) → "curl --form-string path=a.jpg …". A key that is
 * `asked` for comes from the environment: it stays out of what is copied.
 */
export function asCurl(fields, base, asked) {
  const key = asked ? ['-H "X-API-Key: $HASHLAKE_KEY"'] : [];
  const options = Object.entries(fields).map(([name, value]) => {
    const sent = name === "image" ? `image=@${fileOfCurl(value)}` : `${name}=${value}`;
    return `${name === "image" ? "-F" : "--form-string"} ${quoted(sent)}`;
  });
  return `curl ${[...key, ...options].join(" ")} ${quoted(new URL("api/search", base).href)}`;
}

// A name with a comma or a semicolon would be two files, or a file and its type.
function fileOfCurl(name) {
  return /[",;\\]|^\s|\s$/.test(name) ? `"${name.replace(/["\\]/g, "\\$&")}"` : name;
}

// For a POSIX shell.
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same in Python. Of JSON's texts, all are Python's, too. */
export function asPython(fields, base, asked) {
  const address = JSON.stringify(new URL("api/search", base).href);
  const { image, ...others } = fields;
  const data = JSON.stringify(others, null, 4).replaceAll("\n", "\n    ");
  const files = image === undefined ? "" : `\n    files={"image": open(${JSON.stringify(image)}, "rb")},`;
  const key = asked ? '\n    headers={"X-API-Key": os.environ["HASHLAKE_KEY"]},' : "";
  return `${asked ? "import os\n\n" : ""}import httpx

answer = httpx.post(
    ${address},
    data=${data},${files}${key}
    timeout=60,
)
answer.raise_for_status()
for result in answer.json()["results"]:
    print(result["distance"], result["path"])
`;
}
