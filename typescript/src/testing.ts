/** Tests of workflows: against a server that the test leads. Only this entry needs Node, or what is like it. */

export {
  DevServer,
  type DevServerOptions,
  type FaultProfile,
  type Faults,
  type ServedEndpoints,
  startDevServer,
  type UntilOptions,
} from "./dev_server.ts";
export { answer, DifferentReplayError, type MockedRun, type MockOptions, mockRun } from "./mock_run.ts";
export { type Answers, type Delayed, delayed, type MockCall, MockError } from "./mock_steps.ts";
