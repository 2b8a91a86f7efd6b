import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ConfigError, EnvironmentError } from '../core/errors.ts';
import type { JournalEvent } from '../study/journal/events.ts';
import { Spending } from '../study/journal/spending.ts';
import type { WorkerEvent } from './telemetry.ts';

/** Where metrics are served: loopback unless a host is named. */
export interface MetricsPlace {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `--metrics-port`: `9464`, or `0.0.0.0:9464` for a scraper elsewhere.
 * @throws {ConfigError} naming what is wrong.
 */
export function metricsPlace(text: string): MetricsPlace {
  const [, host = '127.0.0.1', port] = /^(?:\[?([^\]]+?)\]?:)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535)
    throw new ConfigError(`--metrics-port: expected a port such as 9464, or host:port, got ${JSON.stringify(text)}`);
  return { host, port: Number(port) };
}

/** Metrics served over HTTP: `/metrics` for Prometheus, `/health` and `/ready` for whoever restarts processes. */
export interface MetricsServer {
  /** The port that it got, where 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

/**
 * @param isReady whether work can be done now; said by `/ready` with 200 or 503.
 * @throws {EnvironmentError} when the port is taken.
 */
export async function serveMetrics(
  registry: Registry,
  { host, port }: MetricsPlace,
  isReady: () => boolean,
): Promise<MetricsServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0];
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8'): void =>
      void response.writeHead(status, { 'content-type': type }).end(text);
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'GET only\n');
    else if (path === '/health') answer(200, 'ok\n');
    else if (path === '/ready') answer(isReady() ? 200 : 503, isReady() ? 'ready\n' : 'not ready\n');
    else if (path === '/metrics')
      registry.metrics().then(
        (text) => answer(200, text, registry.contentType),
        (error: Error) => answer(500, `${error.message}\n`),
      );
    else answer(404, '/metrics, /health or /ready\n');
  });
  server.listen(port, host);
  await listening(server, `${host}:${port}`);
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function listening(server: Server, where: string): Promise<void> {
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new EnvironmentError(`--metrics-port: expected to serve at ${where}, but ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Buckets of times that go from a no-op to a day. */
const secondsBuckets = [0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600];

/** Redis seen by one process. */
function redisMetrics(registry: Registry): (up: boolean) => void {
  const registers = [registry];
  const isUp = new Gauge({ name: 'ridgepoint_redis_up', help: 'Whether Redis answers.', registers });
  const reconnects = new Counter({
    name: 'ridgepoint_redis_reconnects_total',
    help: 'Times that Redis came back.',
    registers,
  });
  let wasUp: boolean | undefined;
  return (up) => {
    if (up && wasUp === false) reconnects.inc();
    wasUp = up;
    isUp.set(Number(up));
  };
}

/** Metrics of a worker, and what it tells them through. */
export function workerMetrics(): { readonly registry: Registry; readonly hear: (event: WorkerEvent) => void } {
  const registry = new Registry();
  const common = { labelNames: ['queue'] as const, registers: [registry] };
  const redis = redisMetrics(registry);
  const running = new Gauge({ ...common, name: 'ridgepoint_jobs_running', help: 'Jobs that this worker does now.' });
  const jobs = new Counter({
    name: 'ridgepoint_jobs_total',
    help: 'Jobs that this worker ended: completed, failed or given-back.',
    labelNames: ['queue', 'state'] as const,
    registers: [registry],
  });
  const seconds = new Histogram({
    ...common,
    name: 'ridgepoint_job_seconds',
    help: 'How long jobs took.',
    buckets: secondsBuckets,
  });
  const wait = new Histogram({
    ...common,
    name: 'ridgepoint_job_wait_seconds',
    help: 'How long jobs waited in their queue.',
    buckets: secondsBuckets,
  });
  const hours = new Counter({
    ...common,
    name: 'ridgepoint_device_hours_total',
    help: 'Hours that slots of this worker were busy.',
  });
  const hear = (event: WorkerEvent): void => {
    if (event.type === 'redis') return redis(event.up);
    const { queue } = event;
    if (event.type === 'begun') {
      running.inc({ queue });
      wait.observe({ queue }, event.waitedMs / 1000);
    } else {
      running.dec({ queue });
      jobs.inc({ queue, state: event.how });
      seconds.observe({ queue }, event.tookMs / 1000);
      hours.inc({ queue }, event.tookMs / 3_600_000);
    }
  };
  return { registry, hear };
}

/** What a study's process shows of itself. */
export interface StudyMetrics {
  readonly registry: Registry;
  readonly event: (event: JournalEvent) => void;
  readonly redis: (up: boolean) => void;
  /** Where jobs asked for and not answered are read, by queue, whenever somebody looks. */
  readonly queues: (read: () => readonly { readonly queue: string; readonly waiting: number }[]) => void;
}

/** Metrics of a process that runs a study, from the events of its journal. */
export function studyMetrics(study: string): StudyMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ study });
  const registers = [registry];
  const spending = new Spending();
  let readQueues: (() => readonly { readonly queue: string; readonly waiting: number }[]) | undefined;
  const issued = new Counter({ name: 'ridgepoint_trials_issued_total', help: 'Trials issued.', registers });
  const outcomes = new Counter({
    name: 'ridgepoint_outcomes_total',
    help: 'Evaluations answered: ok, infeasible or failed.',
    labelNames: ['status'] as const,
    registers,
  });
  const measured = new Counter({
    name: 'ridgepoint_measurements_total',
    help: 'Latencies, by whether they were measured, predicted or reported.',
    labelNames: ['source'] as const,
    registers,
  });
  const hours: Gauge<'phase'> = new Gauge({
    name: 'ridgepoint_device_hours',
    help: 'Device hours that the journal holds, by phase.',
    labelNames: ['phase'] as const,
    registers,
    collect: () => {
      for (const [phase, value] of Object.entries(spending.byPhase)) hours.set({ phase }, value);
    },
  });
  const waiting: Gauge<'queue'> = new Gauge({
    name: 'ridgepoint_jobs_waiting',
    help: 'Jobs that the study asked for and has no answer to.',
    labelNames: ['queue'] as const,
    registers,
    collect: () => {
      for (const { queue, waiting: count } of readQueues?.() ?? []) waiting.set({ queue }, count);
    },
  });
  return {
    registry,
    redis: redisMetrics(registry),
    queues: (read) => (readQueues = read),
    event: (event) => {
      spending.add(event);
      if (event.type === 'issued') issued.inc();
      else if (event.type === 'outcome') outcomes.inc({ status: event.outcome.status });
      else if (event.type === 'measured') measured.inc({ source: event.latency.source });
    },
  };
}
