// Shows /openapi.json. Everything from the document is written as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
// A schema may hold itself.
const DEEPEST = 4;

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

// Text with `code` in it.
function prose(text) {
  return (text || "").split("`").map((part, at) => (at % 2 ? node("code", part) : part));
}

function bounds(schema) {
  const range = (name, least, most) => {
    if (least === undefined && most === undefined) return [];
    if (most === undefined) return least > 0 ? [`${name} from ${least}`] : [];
    return [least === undefined ? `${name} up to ${most}` : `${name} from ${least} to ${most}`];
  };
  const all = [
    ...range("", schema.minimum, schema.maximum),
    ...range("characters", schema.minLength, schema.maxLength),
    ...range("items", schema.minItems, schema.maxItems),
    ...(schema.pattern ? [`like ${schema.pattern}`] : []),
  ];
  return all.map((bound) => `, ${bound.trim()}`).join("");
}

function typeOf(api, schema) {
  if (!schema) return "any";
  const { enum: words, type, items } = resolve(api, schema);
  if (words) return `one of ${words.join(", ")}`;
  if (schema.$ref) return schema.$ref.split("/").pop();
  const named = (types) => types.filter((type) => type && type !== "null").join(" or ");
  if (schema.oneOf) return named(schema.oneOf.map((one) => typeOf(api, one)));
  const types = [].concat(type || "any").map((type) => (type === "array" ? `list of ${typeOf(api, items)}` : type));
  return named(types) + bounds(schema);
}

function table(rows) {
  const lines = rows.map(([name, ...cells]) =>
    node("tr", "", node("td", "", node("code", name)), ...cells.map((cell) => node("td", "", ...prose(cell)))),
  );
  return node("table", "", ...lines);
}

// What a field holds, if that has fields of its own.
function inside(field) {
  return field.items || (field.oneOf || []).find((one) => one.type !== "null") || field;
}

// Name, type and description of each field, and of those in them.
function fields(api, schema, before = "") {
  const whole = resolve(api, schema);
  const parts = [whole, ...(whole.allOf || []).map((part) => resolve(api, part))];
  return parts.flatMap((part) =>
    Object.entries(part.properties || {}).flatMap(([name, field]) => {
      const isRequired = (part.required || []).includes(name);
      const path = before + name;
      const row = [path, typeOf(api, field) + (isRequired ? ", required" : ""), field.description || ""];
      const isDeep = path.split(".").length >= DEEPEST;
      return [row, ...(isDeep ? [] : fields(api, inside(field), path + (field.items ? "[]." : ".")))];
    }),
  );
}

function body(api, title, content) {
  return Object.entries(content || {}).flatMap(([type, media]) => {
    const rows = fields(api, media.schema);
    const head = node("p", `${title} (${type}): `, node("code", typeOf(api, media.schema)));
    return rows.length ? [head, table(rows)] : [head];
  });
}

function operation(api, path, method, op) {
  const head = node("summary", "", node("b", method.toUpperCase()), node("code", path), " ", node("span", "", ...prose(op.summary)));
  const shown = node("details", "", head);
  shown.id = op.operationId;
  if (op.description) shown.append(node("p", "", ...prose(op.description)));
  const parameters = (op.parameters || []).map((parameter) => resolve(api, parameter));
  if (parameters.length) {
    const rows = parameters.map((p) => [p.name, `${p.in}, ${typeOf(api, p.schema)}`, p.description || ""]);
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

// The address may name an operation, as /docs#post_admin_v1_keys.
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

function show(api) {
  const byTag = new Map((api.tags || []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["Other"])[0];
      byTag.set(tag, [...(byTag.get(tag) || []), operation(api, path, method, item[method])]);
    }
  }
  const main = document.getElementById("api");
  for (const [tag, operations] of byTag) if (operations.length) main.append(node("h2", tag), ...operations);
  document.getElementById("about").prepend(`Version ${api.info.version}. ${api.info.description} `);
  openNamed();
}

addEventListener("hashchange", openNamed);
fetch("/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch((error) => document.getElementById("api").append(node("p", `The document can't be read: ${error}`)));
