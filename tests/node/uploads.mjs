// A file in parts that are sent side by side, and a batch of it, with OpenAI's SDK for Node.
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const body = { model: "tandem-sim", messages: [{ role: "user", content: "Hello" }], max_tokens: 4 };
const line = (n) => JSON.stringify({ custom_id: `line-${n}`, method: "POST", url: "/v1/chat/completions", body });
const content = Array.from({ length: 20 }, (_, n) => line(n) + "\n").join("");

const bytes = new TextEncoder().encode(content);
const upload = await client.uploads.create({
  bytes: bytes.length,
  filename: "input.jsonl",
  mime_type: "application/jsonl",
  purpose: "batch",
});
const cuts = [0, 500, 1200, bytes.length];
const send = async (from, to) =>
  client.uploads.parts.create(upload.id, { data: await toFile(bytes.slice(from, to), "part") });
const parts = await Promise.all(cuts.slice(1).map((to, n) => send(cuts[n], to)));
const done = await client.uploads.complete(upload.id, { part_ids: parts.map((part) => part.id) });
const stored = await (await client.files.content(done.file.id)).text();

let batch = await client.batches.create({
  input_file_id: done.file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (!["completed", "failed", "expired", "cancelled"].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  batch = await client.batches.retrieve(batch.id);
}
console.log(JSON.stringify({ status: done.status, content: stored === content, batch: batch.status }));
