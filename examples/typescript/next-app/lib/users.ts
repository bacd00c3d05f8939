/** The steps and the workflow of user creation, and their database. */

import { PGlite } from "@electric-sql/pglite";
import { endpoints } from "atomic-workflows";

interface User {
  id: number;
  name: string;
}

/** The database is opened at the first call, and not by `next build`. */
let opened: Promise<PGlite> | undefined;
async function database(): Promise<PGlite> {
  opened ??= PGlite.create("users.db").then(async (db) => {
    await db.exec(`
      CREATE TABLE IF NOT EXISTS users (id serial PRIMARY KEY, key text UNIQUE, name text NOT NULL);
      CREATE TABLE IF NOT EXISTS mails (key text PRIMARY KEY, text text NOT NULL);
    `);
    return db;
  });
  return opened;
}

export const users = endpoints();

// The key is the same in each attempt, so a repeated call finds the row of the first one.
const insert = users.step("insert", async (name: string, { idempotencyKey }): Promise<User> => {
  const db = await database();
  await db.query("INSERT INTO users (key, name) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", [idempotencyKey, name]);
  const { rows } = await db.query<User>("SELECT id, name FROM users WHERE key = $1", [idempotencyKey]);
  if (rows[0] === undefined) throw new Error("the row is gone");
  return rows[0];
});

const welcome = users.step("welcome", async ({ name }: User, { idempotencyKey, attempt }) => {
  const text = `Welcome, ${name}`;
  const db = await database();
  await db.query("INSERT INTO mails VALUES ($1, $2) ON CONFLICT DO NOTHING", [idempotencyKey, text]);
  if (attempt === 1) throw new Error("the mail server has closed the connection");
  return text;
});

export const create = users.workflow("create", async (ctx, name: string) => {
  const user = await ctx.step(insert, name, { retry: 10 });
  return { user, mail: await ctx.step(welcome, user, { retry: { count: 10, backOff: "100ms" } }) };
});
