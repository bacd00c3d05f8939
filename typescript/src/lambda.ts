/** Endpoints on AWS Lambda behind an HTTP API, a REST API, a function URL or a load balancer: `export const handler = lambda(users)`. */

import { type LambdaEvent, webRequest } from "./lambda_event.ts";
import type { Fetching } from "./web.ts";

export type { LambdaEvent } from "./lambda_event.ts";

/** The answer in the gateway's format. */
export interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly multiValueHeaders?: Record<string, string[]>;
  readonly body: string;
  readonly isBase64Encoded: false;
}

/** A handler of Lambda. */
export function lambda(endpoints: Fetching): (event: LambdaEvent) => Promise<LambdaAnswer> {
  return async (event) => {
    const answer = await endpoints.fetch(webRequest(event));
    const headers = Object.fromEntries(answer.headers);
    // A load balancer that sends lists of headers takes nothing else.
    const lists = event.multiValueHeaders && Object.fromEntries([...answer.headers].map(([name, is]) => [name, [is]]));
    const body = await answer.text();
    return {
      statusCode: answer.status,
      headers,
      ...(lists && { multiValueHeaders: lists }),
      body,
      isBase64Encoded: false,
    };
  };
}
