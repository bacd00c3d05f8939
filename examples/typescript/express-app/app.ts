/**
 * User creation on Express, with PostgreSQL in the process (PGlite). Each line in a terminal of its own:
 *
 *     npm install atomic-workflows express @electric-sql/pglite
 *     atomic serve --dev
 *     node app.ts
 *     curl -s http://127.0.0.1:9000/users -H 'Content-Type: application/json' -H 'Idempotency-Key: ada-1' -d '{"name": "ada"}'
 */

import { PGlite } from "@electric-sql/pglite";
import { Atomic, endpoints } from "atomic-workflows";
import { express as serving } from "atomic-workflows/express";
import express from "express";

interface User {
  id: number;
  name: string;
}

const port = Number(process.env["PORT"] ?? 9000);
const db = new PGlite("users.db");
await db.exec(`
  CREATE TABLE IF NOT EXISTS users (id serial PRIMARY KEY, key text UNIQUE, name text NOT NULL);
  CREATE TABLE IF NOT EXISTS mails (key text PRIMARY KEY, text text NOT NULL);
`);

const atomic = new Atomic();
const users = endpoints();

// The key is the same in each attempt, so a repeated call finds the row of the first one.
const insert = users.step("insert", async (name: string, { idempotencyKey }): Promise<User> => {
  await db.query("INSERT INTO users (key, name) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", [idempotencyKey, name]);
  const { rows } = await db.query<User>("SELECT id, name FROM users WHERE key = $1", [idempotencyKey]);
  if (rows[0] === undefined) throw new Error("the row is gone");
  return rows[0];
});

const welcome = users.step("welcome", async ({ name }: User, { idempotencyKey, attempt }) => {
  const text = `Welcome, ${name}`;
  await db.query("INSERT INTO mails VALUES ($1, $2) ON CONFLICT DO NOTHING", [idempotencyKey, text]);
  if (attempt === 1) throw new Error("the mail server has closed the connection");
  return text;
});

const create = users.workflow("create", async (ctx, name: string) => {
  const user = await ctx.step(insert, name, { retry: 10 });
  return { user, mail: await ctx.step(welcome, user, { retry: { count: 10, backOff: "100ms" } }) };
});

const app = express();
// Before the parser: the signature of a call is of its bytes.
app.use("/workflows", serving(users));
app.use(express.json());
app.post("/users", async (request, response) => {
  const key = request.get("idempotency-key") ?? crypto.randomUUID();
  const url = `http://127.0.0.1:${port}/workflows`;
  const started = await atomic.start(create.at(url), `${request.body.name}`, { key });
  response.json(started.response);
});
app.get("/users", async (_, response) => {
  const { rows } = await db.query("SELECT name, text FROM users LEFT JOIN mails USING (key) ORDER BY id");
  response.json(rows);
});
app.listen(port, "127.0.0.1");
