import { Atomic } from "atomic-workflows";
import { create } from "../../../lib/users";

const atomic = new Atomic();

export async function POST(request: Request): Promise<Response> {
  const { name } = (await request.json()) as { name: string };
  const key = request.headers.get("idempotency-key") ?? crypto.randomUUID();
  const url = `${process.env["ATOMIC_BASE_URL"] ?? "http://127.0.0.1:9000"}/users`;
  const started = await atomic.start(create.at(url), name, { key });
  return Response.json(started.response);
}
