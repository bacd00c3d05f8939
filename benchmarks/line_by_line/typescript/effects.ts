/** What the steps do. It is the same for every system, and its lines are not counted. */

interface User {
  id: number;
  name: string;
}

/** Insert a user; the row. */
export async function insert(name: string): Promise<User> {
  return { id: 1, name };
}

/** Send a mail; its id. */
export async function send(user: User): Promise<string> {
  return `mail to ${user.name}`;
}

/** Tell the analytics service. */
export async function track(user: User): Promise<void> {
  console.log("created", user.name);
}
