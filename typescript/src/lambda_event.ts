/** The event of an HTTP API, a REST API, a function URL or a load balancer as a request of the web. */

/** What is used of an event, in either version of its format. */
export interface LambdaEvent {
  readonly rawPath?: string;
  readonly path?: string;
  readonly httpMethod?: string;
  readonly headers?: Readonly<Record<string, string | undefined>> | null;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null;
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
  readonly requestContext: { readonly domainName?: string; readonly path?: string; readonly http?: { method: string } };
}

/** The request that an event is about. Throws TypeError where it is about none. */
export function webRequest({ requestContext, ...event }: LambdaEvent): Request {
  // A REST API leaves the stage out of `path`, but it is a part of the URL that was called.
  const path = event.rawPath ?? requestContext?.path ?? event.path;
  const method = requestContext?.http?.method ?? event.httpMethod;
  if (path === undefined || method === undefined) {
    throw new TypeError(
      "this event is no HTTP request: call the function by an API, a function URL or a load balancer",
    );
  }
  const lists = Object.entries(event.multiValueHeaders ?? {}).map(([name, values]) => [name, values?.at(-1)] as const);
  const given = [...Object.entries(event.headers ?? Object.fromEntries(lists))];
  const headers = new Headers(given.filter((pair): pair is [string, string] => pair[1] !== undefined));
  const body = Buffer.from(event.body ?? "", event.isBase64Encoded ? "base64" : "utf8");
  const host = requestContext.domainName ?? headers.get("host") ?? "localhost";
  const scheme = headers.get("x-forwarded-proto") ?? "https";
  // An HTTP API decodes the path.
  const url = `${scheme}://${host}${path.replaceAll("?", "%3F").replaceAll("#", "%23")}`;
  return new Request(url, { method, headers, ...(method === "GET" || method === "HEAD" ? {} : { body }) });
}
