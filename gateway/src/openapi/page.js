// Shows /openapi.json. Everything from the document is written as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function node(name, text, ...children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function resolve(api, value) {
  if (!value || !value.$ref) return value || {};
  return value.$ref.split("/").slice(1).reduce((at, key) => at[key], api) || {};
}

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.oneOf) return schema.oneOf.map(typeOf).filter((type) => type !== "null").join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  const types = [].concat(schema.type || "any");
  return types.filter((type) => type !== "null").join(" or ");
}

function table(rows) {
  const lines = rows.map((cells) => node("tr", "", ...cells.map((cell, at) => (at === 0 ? node("td", "", node("code", cell)) : node("td", cell)))));
  return node("table", "", ...lines);
}

function fields(api, schema) {
  const whole = resolve(api, schema);
  const parts = [whole, ...(whole.allOf || []).map((part) => resolve(api, part))];
  return parts.flatMap((part) =>
    Object.entries(part.properties || {}).map(([name, field]) => {
      const isRequired = (part.required || []).includes(name);
      return [name, typeOf(field) + (isRequired ? ", required" : ""), field.description || ""];
    }),
  );
}

function body(api, title, content) {
  return Object.entries(content || {}).flatMap(([type, media]) => {
    const rows = fields(api, media.schema);
    const head = node("p", `${title} (${type}): `, node("code", typeOf(media.schema)));
    return rows.length ? [head, table(rows)] : [head];
  });
}

function operation(api, path, method, op) {
  const head = node("summary", "", node("b", method.toUpperCase()), node("code", path), " ", node("span", op.summary || ""));
  const shown = node("details", "", head);
  if (op.description) shown.append(node("p", op.description));
  const parameters = (op.parameters || []).map((parameter) => resolve(api, parameter));
  if (parameters.length) {
    const rows = parameters.map((p) => [p.name, `${p.in}, ${typeOf(p.schema)}`, p.description || ""]);
    shown.append(node("p", "Parameters"), table(rows));
  }
  shown.append(...body(api, "Body", (op.requestBody || {}).content));
  for (const [status, response] of Object.entries(op.responses || {})) {
    if (status.startsWith("2")) shown.append(...body(api, `Answer ${status}`, response.content));
  }
  const errors = Object.entries(op.responses || {}).filter(([status]) => !status.startsWith("2"));
  if (errors.length) shown.append(node("p", "Errors"), table(errors.map(([status, e]) => [status, e.description || ""])));
  return shown;
}

function show(api) {
  const byTag = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["Other"])[0];
      byTag.set(tag, [...(byTag.get(tag) || []), operation(api, path, method, item[method])]);
    }
  }
  const main = document.getElementById("api");
  for (const [tag, operations] of byTag) main.append(node("h2", tag), ...operations);
  document.getElementById("about").prepend(`Version ${api.info.version}. ${api.info.description} `);
}

fetch("/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => document.getElementById("api").append(node("p", `The document can't be read: ${error}`)));
