// Reads {"secret", "headers", "body"} and says which type of event Node's libraries find in it; fails when they don't believe it.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { Webhook } from "standardwebhooks";

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const event = await new OpenAI({ apiKey: "none" }).webhooks.unwrap(body, headers, secret);
const standard = new Webhook(secret).verify(body, headers);
if (event.id !== standard.id || event.id !== headers["webhook-id"]) {
  throw new Error(`${event.id} is not ${headers["webhook-id"]}`);
}
console.log(event.type);
