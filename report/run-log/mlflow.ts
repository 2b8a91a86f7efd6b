import { z } from 'zod';
import type { RunEnd, RunLog, RunPoint, RunStart } from './run-log.ts';

/** Longest wait for one answer of the server. */
const timeoutMs = 10_000;
/** Limits of one request of `runs/log-batch`. */
const [metricsAtOnce, parametersAtOnce] = [1000, 100];
const longestParameter = 6000;

const statuses = { finished: 'FINISHED', failed: 'FAILED', killed: 'KILLED' } as const;
/** Of a run that has not ended for good. */
const unfinished = ['RUNNING', 'KILLED', 'SCHEDULED'];

const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const createdExperimentSchema = z.object({ experiment_id: z.string() });
const runSchema = z.object({ info: z.object({ run_id: z.string(), status: z.string().optional() }) });
const createdRunSchema = z.object({ run: runSchema });
const foundRunsSchema = z.object({ runs: z.array(runSchema).default([]) });
const errorSchema = z.object({ error_code: z.string(), message: z.string().default('') });

/**
 * Runs of an MLflow tracking server, by its REST API 2.0. What stands before the last slash of a run's name is its
 * experiment, `ridgepoint` where there is none.
 * @param server its address; credentials come from the variables that MLflow's own clients read.
 * @see mlflow.org, "REST API": experiments/get-by-name and create, runs/create, search, log-batch and update.
 */
export function mlflowLog(server: string): RunLog {
  const api = new MlflowApi(server);
  return {
    async open(start, goesOn) {
      const known = goesOn ? await api.latestRun(start) : undefined;
      const run = known && unfinished.includes(known.status) ? known.id : await api.createRun(start);
      if (known?.id === run) await api.update(run, { status: 'RUNNING' });
      return { point: (point) => api.logMetrics(run, [point]), end: (end) => api.end(run, end) };
    },
    async add(whole) {
      const known = await api.latestRun(whole);
      if (known && !unfinished.includes(known.status)) return;
      const run = await api.createRun(whole);
      await api.logMetrics(run, whole.points);
      await api.end(run, whole);
    },
  };
}

class MlflowApi {
  readonly #server: string;
  readonly #experiments = new Map<string, string>();

  constructor(server: string) {
    this.#server = server.replace(/\/+$/, '');
  }

  async latestRun(start: RunStart): Promise<{ readonly id: string; readonly status: string } | undefined> {
    const { runs } = await this.#post('runs/search', foundRunsSchema, {
      experiment_ids: [await this.#experimentOf(start)],
      filter: `attributes.run_name = '${runNameOf(start)}'`,
      order_by: ['attributes.start_time DESC'],
      max_results: 1,
    });
    const [latest] = runs;
    return latest && { id: latest.info.run_id, status: latest.info.status ?? 'RUNNING' };
  }

  async createRun(start: RunStart): Promise<string> {
    const { run } = await this.#post('runs/create', createdRunSchema, {
      experiment_id: await this.#experimentOf(start),
      run_name: runNameOf(start),
      start_time: Math.round(start.startedMs),
      tags: [{ key: 'mlflow.source.name', value: 'ridgepoint' }],
    });
    const id = run.info.run_id;
    const parameters = Object.entries(start.parameters).map(([key, value]) => {
      return { key: legalKey(key), value: String(value).slice(0, longestParameter) };
    });
    for (const part of chunks(parameters, parametersAtOnce))
      await this.#post('runs/log-batch', z.unknown(), { run_id: id, params: part });
    return id;
  }

  /** Those that are not finite are left out: JSON has no word for them. */
  async logMetrics(run: string, points: readonly RunPoint[]): Promise<void> {
    const metrics = points.flatMap(({ step, atMs, values }) =>
      Object.entries(values)
        .filter(([, value]) => Number.isFinite(value))
        .map(([key, value]) => ({ key: legalKey(key), value, timestamp: Math.round(atMs), step })),
    );
    for (const part of chunks(metrics, metricsAtOnce))
      await this.#post('runs/log-batch', z.unknown(), { run_id: run, metrics: part });
  }

  async end(run: string, { status, endedMs }: RunEnd): Promise<void> {
    await this.update(run, { status: statuses[status], end_time: Math.round(endedMs) });
  }

  async update(run: string, changes: { readonly status: string; readonly end_time?: number }): Promise<void> {
    await this.#post('runs/update', z.unknown(), { run_id: run, ...changes });
  }

  async #experimentOf({ name }: RunStart): Promise<string> {
    const experiment = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : 'ridgepoint';
    const id = this.#experiments.get(experiment) ?? (await this.#findExperiment(experiment));
    this.#experiments.set(experiment, id);
    return id;
  }

  async #findExperiment(name: string): Promise<string> {
    const find = () => this.#ask(`experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`);
    const found = await find();
    if (found.ok) return this.#parse(found, experimentSchema).experiment.experiment_id;
    const created = await this.#ask('experiments/create', { name });
    if (created.ok) return this.#parse(created, createdExperimentSchema).experiment_id;
    // Another session may have been faster.
    return this.#parse(codeOf(created) === 'RESOURCE_ALREADY_EXISTS' ? await find() : created, experimentSchema)
      .experiment.experiment_id;
  }

  async #post<Answer extends z.ZodType>(path: string, answer: Answer, body: object): Promise<z.output<Answer>> {
    return this.#parse(await this.#ask(path, body), answer);
  }

  async #ask(path: string, body?: object): Promise<ServerAnswer> {
    const url = `${this.#server}/api/2.0/mlflow/${path}`;
    const headers = { ...credentials(), ...(body && { 'content-type': 'application/json' }) };
    const request = body ? { method: 'POST', body: JSON.stringify(body), headers } : { headers };
    try {
      const response = await fetch(url, { ...request, signal: AbortSignal.timeout(timeoutMs) });
      return { path, ok: response.ok, status: response.status, text: await response.text() };
    } catch (error) {
      const { cause, message } = error as Error;
      throw new Error(
        `${this.#server}: expected an MLflow server, got ${(cause as Error | undefined)?.message ?? message}`,
        {
          cause: error,
        },
      );
    }
  }

  #parse<Answer extends z.ZodType>({ path, ok, status, text }: ServerAnswer, schema: Answer): z.output<Answer> {
    const data = jsonOf(text);
    if (!ok) {
      const said = errorSchema.safeParse(data);
      throw new Error(
        `${this.#server}: ${path.split('?')[0]}: ${said.success ? `${said.data.error_code}: ${said.data.message}` : `status ${status}`}`,
      );
    }
    const parsed = schema.safeParse(data);
    if (!parsed.success)
      throw new Error(
        `${this.#server}: ${path.split('?')[0]}: expected MLflow's answer\n${z.prettifyError(parsed.error)}`,
      );
    return parsed.data;
  }
}

interface ServerAnswer {
  readonly path: string;
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

function codeOf({ text }: ServerAnswer): string | undefined {
  return errorSchema.safeParse(jsonOf(text)).data?.error_code;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As MLflow's clients take them from the environment. */
function credentials(): Readonly<Record<string, string>> {
  const {
    MLFLOW_TRACKING_TOKEN: token,
    MLFLOW_TRACKING_USERNAME: user,
    MLFLOW_TRACKING_PASSWORD: password = '',
  } = process.env;
  if (user !== undefined) return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

function runNameOf({ name }: RunStart): string {
  return legalKey(name.slice(name.lastIndexOf('/') + 1));
}

/** Names hold letters, digits, `_ - . /` and spaces. */
function legalKey(key: string): string {
  return key.replaceAll(/[^\w\-./ ]/g, '_');
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
