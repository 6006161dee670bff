// Builds the page from the description. Text goes in as text nodes only.

const METHODS = ["get", "post", "patch", "put", "delete"];

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function named(name, className, text) {
  const made = element(name, text);
  made.className = className;
  return made;
}

function row(...cells) {
  return element("tr", "", ...cells.map((cell) => element("td", cell)));
}

function table(heads, rows) {
  const head = element("tr", "", ...heads.map((text) => element("th", text)));
  return element("table", "", element("thead", "", head), element("tbody", "", ...rows));
}

// Follows references, and shows each schema as an example of itself.
function example(schema, all, seen = []) {
  if (!schema) return null;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return seen.includes(name) ? {} : example(all[name], all, [...seen, name]);
  }
  if (schema.example !== undefined) return schema.example;
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return example(choices.find((one) => one.type !== "null"), all, seen);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((one) => example(one, all, seen)));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "array") return [example(schema.items, all, seen)];
  if (type === "object" || schema.properties) return exampleObject(schema, all, seen);
  return { string: "…", integer: 0, number: 0, boolean: true }[type] ?? null;
}

function exampleObject(schema, all, seen) {
  const pairs = Object.entries(schema.properties || {});
  const made = Object.fromEntries(pairs.map(([name, one]) => [name, example(one, all, seen)]));
  const more = schema.additionalProperties;
  if (more && typeof more === "object") made["…"] = example(more, all, seen);
  return made;
}

function bodies(content, all) {
  return Object.entries(content || {}).flatMap(([kind, body]) => {
    const title = named("p", "note", kind);
    if (!body.schema) return [title];
    return [title, element("pre", JSON.stringify(example(body.schema, all), null, 2))];
  });
}

function operation(method, path, described, all) {
  const line = element("summary", "", named("span", "method", method), element("code", path));
  line.append(" ", named("span", "note", described.summary || ""));
  const made = element("details", "", line);
  if (described.description) made.append(element("p", described.description));
  const parameters = described.parameters || [];
  if (parameters.length) {
    const rows = parameters.map((one) => row(one.name, one.in, one.description || ""));
    made.append(element("h4", "Parameters"), table(["name", "in", "meaning"], rows));
  }
  if (described.requestBody) {
    made.append(element("h4", "Body"), ...bodies(described.requestBody.content, all));
  }
  for (const [status, answer] of Object.entries(described.responses || {})) {
    made.append(element("h4", `${status} ${answer.description || ""}`), ...bodies(answer.content, all));
  }
  return made;
}

function render(api) {
  const all = api.components?.schemas || {};
  document.getElementById("title").textContent = `${api.info.title} API ${api.info.version}`;
  document.getElementById("description").textContent = api.info.description || "";
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const tag of api.tags || []) {
    main.append(element("h2", tag.name), named("p", "note", tag.description || ""));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const described = item[method];
        if (described?.tags?.includes(tag.name)) main.append(operation(method, path, described, all));
      }
    }
  }
}

const answer = await fetch("/api/v3/openapi.json");
render(await answer.json());
