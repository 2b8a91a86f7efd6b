import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

// What MLflow's documentation says of its REST API 2.0, as far as we use it: fields, limits and errors.

const key = z.string().regex(/^[\w\-./ ]{1,250}$/);
const requests = {
  'experiments/create': z.strictObject({ name: z.string().min(1) }),
  'runs/create': z.strictObject({
    experiment_id: z.string(),
    run_name: z.string(),
    start_time: z.int(),
    tags: z.array(z.strictObject({ key, value: z.string() })),
  }),
  'runs/search': z.strictObject({
    experiment_ids: z.array(z.string()),
    filter: z.string(),
    order_by: z.array(z.string()),
    max_results: z.int(),
  }),
  'runs/log-batch': z.strictObject({
    run_id: z.string(),
    metrics: z
      .array(z.strictObject({ key, value: z.number(), timestamp: z.int(), step: z.int() }))
      .max(1000)
      .default([]),
    params: z
      .array(z.strictObject({ key, value: z.string().max(6000) }))
      .max(100)
      .default([]),
  }),
  'runs/update': z.strictObject({
    run_id: z.string(),
    status: z.enum(['RUNNING', 'SCHEDULED', 'FINISHED', 'FAILED', 'KILLED']),
    end_time: z.int().optional(),
  }),
} as const;

interface StoredRun {
  readonly id: string;
  readonly experiment: string;
  readonly name: string;
  readonly startMs: number;
  status: string;
  endMs?: number | undefined;
  readonly parameters: Record<string, string>;
  readonly metrics: { readonly key: string; readonly value: number; readonly step: number }[];
}

/** A stand-in for an MLflow tracking server: it keeps what it is told and refuses what is not as documented. */
export class MlflowServer {
  readonly experiments: string[] = [];
  readonly runs: StoredRun[] = [];
  /** Authorization headers it was sent. */
  readonly authorizations = new Set<string | undefined>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async open(): Promise<MlflowServer> {
    const server = new MlflowServer();
    await new Promise<void>((ready) => server.#server.listen(0, '127.0.0.1', ready));
    return server;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body } = await this.#answer(request);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    this.authorizations.add(request.headers.authorization);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '', this.address);
    const path = url.pathname.replace('/api/2.0/mlflow/', '');
    if (path === 'experiments/get-by-name') return this.#experiment(url.searchParams.get('experiment_name') ?? '');
    const schema = requests[path as keyof typeof requests];
    if (!schema) return refusal(404, 'ENDPOINT_NOT_FOUND', path);
    const parsed = schema.safeParse(JSON.parse(Buffer.concat(chunks).toString()));
    if (!parsed.success) return refusal(400, 'INVALID_PARAMETER_VALUE', z.prettifyError(parsed.error));
    return this.#does(path, parsed.data);
  }

  #experiment(name: string) {
    const id = this.experiments.indexOf(name);
    if (id < 0) return refusal(404, 'RESOURCE_DOES_NOT_EXIST', `no experiment ${name}`);
    return { status: 200, body: { experiment: { experiment_id: String(id), name } } };
  }

  #does(path: string, data: unknown): { status: number; body: unknown } {
    const body = data as never;
    switch (path) {
      case 'experiments/create':
        return { status: 200, body: { experiment_id: String(this.experiments.push(body['name']) - 1) } };
      case 'runs/create':
        return { status: 200, body: { run: this.#create(body) } };
      case 'runs/search':
        return { status: 200, body: this.#search(body) };
      case 'runs/log-batch':
        return this.#log(body);
      default:
        return this.#update(body);
    }
  }

  #create({ experiment_id, run_name, start_time }: z.output<(typeof requests)['runs/create']>) {
    const run: StoredRun = {
      id: `run${this.runs.length}`,
      experiment: experiment_id,
      name: run_name,
      startMs: start_time,
      status: 'RUNNING',
      parameters: {},
      metrics: [],
    };
    this.runs.push(run);
    return { info: { run_id: run.id, status: run.status }, data: {} };
  }

  /** A server without a match leaves `runs` out. */
  #search({ experiment_ids, filter }: z.output<(typeof requests)['runs/search']>) {
    const name = /^attributes\.run_name = '([^']*)'$/.exec(filter)?.[1];
    const found = this.runs
      .filter((run) => experiment_ids.includes(run.experiment) && run.name === name)
      .toSorted((a, b) => b.startMs - a.startMs);
    return found[0] ? { runs: [{ info: { run_id: found[0].id, status: found[0].status }, data: {} }] } : {};
  }

  #log({ run_id, metrics, params }: z.output<(typeof requests)['runs/log-batch']>) {
    const run = this.runs.find(({ id }) => id === run_id);
    if (!run) return refusal(404, 'RESOURCE_DOES_NOT_EXIST', run_id);
    for (const { key, value } of params) {
      if ((run.parameters[key] ?? value) !== value) return refusal(400, 'INVALID_PARAMETER_VALUE', `${key} changed`);
      run.parameters[key] = value;
    }
    run.metrics.push(...metrics);
    return { status: 200, body: {} };
  }

  #update({ run_id, status, end_time }: z.output<(typeof requests)['runs/update']>) {
    const run = this.runs.find(({ id }) => id === run_id);
    if (!run) return refusal(404, 'RESOURCE_DOES_NOT_EXIST', run_id);
    Object.assign(run, { status, endMs: end_time });
    return { status: 200, body: { run_info: { run_id, status } } };
  }
}

function refusal(status: number, error_code: string, message: string) {
  return { status, body: { error_code, message } };
}
