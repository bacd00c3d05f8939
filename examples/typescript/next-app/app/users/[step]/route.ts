import { next } from "atomic-workflows/next";
import { users } from "../../../lib/users";

export const dynamic = "force-dynamic";
export const { POST } = next(users);
