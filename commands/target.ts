import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { convolutionKernel } from '../accelerators/probe.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { digestBytes, digestJson, shortDigest } from '../core/digest.ts';
import { ConfigError, InfeasibleModelError } from '../core/errors.ts';
import { extentOf } from '../latency/inputs.ts';
import { type LockMode, withHostLock } from '../latency/host-lock.ts';
import type { Fingerprint, Latency, Percentile } from '../latency/latency.ts';
import type { MeasureProgress } from '../latency/measure.ts';
import { modelBytes } from '../latency/model-file.ts';
import { median } from '../core/quantile.ts';
import { readOnnx } from '../models/onnx.ts';
import { askCommand } from './ask.ts';
import { acceleratorOf, type Command } from './declaration.ts';
import type { Infeasible, OkOf, Operation, Precision, RequestOf, ResultOf } from './protocol.ts';
import { CommandError, pathInOut, type RequestBody } from './run.ts';
import type { CommandProtocol } from './sampling.ts';
import { geometricMean, goalOf, readSession, type Session, summariseSessions } from './session.ts';

/** What to measure on a command target. */
export interface CommandMeasureRequest {
  /** Bytes of an ONNX file, or its path. */
  readonly model: Uint8Array | string;
  /** The network's spec as JSON, where it has one. */
  readonly spec?: string;
  readonly batch: number;
  readonly threads: number;
  readonly precision: Precision;
  readonly protocol: CommandProtocol;
  /** The one whose interval decides when to stop, and whether the result is stable; 50 by default. */
  readonly percentile?: Percentile;
}

export interface CommandMeasureCall {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: MeasureProgress) => void;
}

/** A user's own program as a place to measure on. One measurement at a time. */
export interface CommandTarget {
  /**
   * @throws {InfeasibleModelError} when the program says that the model cannot run there.
   * @throws {CommandError} when it fails three times, or its answer cannot be right.
   * @throws {ConfigError} when it does not measure, or not in the precision asked for.
   * @throws {InterruptedError} when aborted.
   */
  measure(request: CommandMeasureRequest, call?: CommandMeasureCall): Promise<Latency>;
  /** Removes what `prepare` made; the logs stay where the program failed. */
  close(): void;
}

/** Compiled models that are kept, the reference among them: a base is measured several times in a row. */
const keptPrepared = 4;
/** Observations of the reference model the running median looks back on. */
const memory = 16;
/** Observations before the first measurement, so that there is a median to depart from. */
const firstObservations = 3;
/**
 * Opens a command target. Each session of a measurement is the program started anew, and it takes
 * turns with everything else on this host, or with everyone who measures on the same device where it
 * says that it computes elsewhere.
 */
export function openCommandTarget(
  command: Command,
  options: { readonly lockDirectory?: string; readonly clock?: Clock } = {},
): CommandTarget {
  const target = new Target(command, options.clock ?? systemClock, options.lockDirectory);
  return {
    measure: (request, call = {}) => target.measure(request, call),
    close: () => target.close(),
  };
}

/** A model as the program is told of it. */
type Model = Pick<RequestOf<'measure'>, 'model' | 'inputs' | 'batch' | 'threads' | 'precision'>;

class Target {
  readonly #command: Command;
  readonly #clock: Clock;
  readonly #lockDirectory: string | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), 'ridgepoint-command-'));
  #failed = false;
  /** Paths by model and setting, the one asked for last at the end. */
  readonly #prepared = new Map<string, string>();
  /** Observations of the reference model, by what it was run with. */
  readonly #observedMs = new Map<string, number[]>();
  #description: OkOf<'describe'> | undefined;
  #asked = 0;

  constructor(command: Command, clock: Clock, lockDirectory: string | undefined) {
    this.#command = command;
    this.#clock = clock;
    this.#lockDirectory = lockDirectory;
  }

  close(): void {
    if (!this.#failed) rmSync(this.#folder, { recursive: true, force: true });
  }

  async measure(request: CommandMeasureRequest, call: CommandMeasureCall): Promise<Latency> {
    const description = await this.#describe(call.signal);
    const { precision } = request;
    if (description.precisions && !description.precisions.includes(precision))
      throw new ConfigError(
        `command ${this.#command.name}: expected a precision among ${description.precisions.join(', ')}, got ${precision}`,
      );
    const { threads, batch } = request;
    const bytes = await modelBytes(request.model);
    const kernel = convolutionKernel(64, 24).model;
    const asked = {
      model: this.#store(bytes, request.spec),
      inputs: requestInputs(bytes, batch, typeof request.model === 'string' ? request.model : 'model'),
      batch,
      threads,
      precision,
    };
    const fixed = {
      model: this.#store(kernel),
      inputs: requestInputs(kernel, 1, 'reference'),
      batch: 1,
      threads,
      precision,
    };
    const model = await this.#withPrepared(asked, call.signal);
    const reference = await this.#withPrepared(fixed, call.signal);
    try {
      return await this.#locked('exclusive', call.signal, () => this.#sessions(model, reference, request, call));
    } finally {
      // A study measures many networks: files that the next measurement writes again are not kept.
      for (const path of [asked.model.onnx, asked.model.spec]) if (path !== undefined) rmSync(path, { force: true });
    }
  }

  async #describe(signal: AbortSignal | undefined): Promise<OkOf<'describe'>> {
    if (this.#description) return this.#description;
    const { result } = await this.#ask({ op: 'describe' }, signal);
    if (!result.operations.includes('measure'))
      throw new ConfigError(
        `command ${this.#command.name}: expected a program that can measure, got one that can ${result.operations.join(', ')}`,
      );
    return (this.#description = result);
  }

  #store(bytes: Uint8Array, spec?: string): Model['model'] {
    const digest = digestBytes(bytes);
    const path = join(this.#folder, shortDigest(digest));
    writeFileSync(`${path}.onnx`, bytes);
    if (spec === undefined) return { onnx: `${path}.onnx`, digest };
    writeFileSync(`${path}.json`, spec);
    return { onnx: `${path}.onnx`, digest, spec: `${path}.json` };
  }

  /** Lets the program compile a model, once for each setting. */
  async #withPrepared(model: Model, signal: AbortSignal | undefined): Promise<Model> {
    if (!this.#description?.operations.includes('prepare')) return model;
    const key = digestJson({ ...model, model: model.model.digest });
    let path = this.#prepared.get(key);
    if (path === undefined) {
      const { result, out } = await this.#locked('shared', signal, () =>
        this.#ask({ op: 'prepare', target: this.#command.name, ...model }, signal),
      );
      path = this.#valid('prepare', () => pathInOut(out, result.prepared));
    }
    this.#prepared.delete(key);
    this.#prepared.set(key, path);
    for (const [oldest, prepared] of [...this.#prepared].slice(0, -keptPrepared)) {
      rmSync(prepared, { recursive: true, force: true });
      this.#prepared.delete(oldest);
    }
    return { ...model, model: { ...model.model, prepared: path } };
  }

  /** Blocks of sessions between observations of the reference, until the interval is tight enough. */
  async #sessions(
    model: Model,
    reference: Model,
    { protocol, percentile = 50 }: CommandMeasureRequest,
    { signal, onProgress }: CommandMeasureCall,
  ): Promise<Latency> {
    const startMs = this.#clock.now();
    const overtime = (): boolean => this.#clock.now() - startMs > protocol.capMs;
    const { min, max, gapMs } = protocol.sessions;
    const sessions: Session[] = [];
    const departures: number[] = [];
    let rejected = 0;
    const enough = (found: readonly Session[]): boolean =>
      found.length >= max || (found.length >= min && (goalOf(found, protocol, percentile).isTight || overtime()));
    const setting = `${reference.threads} ${reference.precision}`;
    const observedMs = this.#observedMs.get(setting) ?? [];
    this.#observedMs.set(setting, observedMs);
    const observe = async (): Promise<number> => {
      const { p50Ms } = await this.#session(reference, protocol, signal);
      observedMs.push(p50Ms);
      if (observedMs.length > memory) observedMs.shift();
      return p50Ms;
    };
    const departure = (ms: number): number => Math.abs(ms / median(observedMs) - 1);

    let before = await observe();
    while (observedMs.length < firstObservations) before = await observe();
    while (!enough(sessions)) {
      const block: Session[] = [];
      while (block.length < min && !enough([...sessions, ...block])) {
        await this.#clock.sleep(gapMs, signal).catch(() => {});
        block.push(await this.#session(model, protocol, signal));
        onProgress?.({
          session: sessions.length + block.length,
          blocks: departures.length + 1,
          rejectedBlocks: rejected,
          p50Ms: geometricMean([...sessions, ...block].map(({ p50Ms }) => p50Ms)),
        });
      }
      const after = await observe();
      const worse = Math.max(departure(before), departure(after));
      before = after;
      if (worse > protocol.reference.tolerance && rejected < protocol.reference.maxRejected && !overtime()) {
        rejected++;
        continue;
      }
      departures.push(worse);
      sessions.push(...block);
    }
    const { batch, threads, precision } = model;
    const accelerator = acceleratorOf(this.#command.name);
    const fingerprint = this.#fingerprint(sessions.at(-1)?.answer);
    const about = { drift: Math.max(...departures), rejectedBlocks: rejected, fingerprint, protocol, percentile };
    return this.#valid('measure', () =>
      summariseSessions(sessions, { accelerator, batch, threads, precision, ...about }),
    );
  }

  async #session(model: Model, protocol: CommandProtocol, signal: AbortSignal | undefined): Promise<Session> {
    const percentiles = [50, 90, 99];
    const { sampling } = protocol;
    const { result, ...answer } = await this.#ask(
      { op: 'measure', target: this.#command.name, ...model, percentiles, sampling },
      signal,
    );
    const session = this.#valid('measure', () => readSession(result, answer, model.precision));
    rmSync(dirname(answer.out), { recursive: true, force: true });
    return session;
  }

  #fingerprint(answer: OkOf<'measure'> | undefined): Fingerprint {
    const { name, version, onThisHost, device: described } = this.#description as OkOf<'describe'>;
    const device = answer?.device ?? described;
    const runtime = Object.entries(answer?.versions ?? {}).map((entry) => entry.join(' '));
    return {
      host: device?.host ?? (onThisHost ? hostname() : 'elsewhere'),
      os: typeof device?.['os'] === 'string' ? device['os'] : 'unknown',
      cpu: device?.name ?? 'unknown',
      cores: typeof device?.['cores'] === 'number' ? Math.round(device['cores']) : 0,
      runtime: runtime.join(', ') || 'unknown',
      provider: `${name} ${version}`,
      node: process.version,
    };
  }

  /** One request; an infeasible or failed result becomes an error. */
  async #ask<Op extends Operation>(
    body: RequestBody<Op> & { readonly op: Op },
    signal: AbortSignal | undefined,
  ): Promise<{ readonly result: OkOf<Op>; readonly out: string; readonly wallS: number }> {
    const folder = join(this.#folder, `${++this.#asked}-${body.op}`);
    const state = join(this.#folder, 'state');
    const options = { folder, state, signal, clock: this.#clock };
    const { result, out, wallS } = await askCommand<Op>(this.#command, () => body, options).catch((error: unknown) => {
      this.#failed ||= error instanceof CommandError;
      throw error;
    });
    if (result.status === 'ok') return { result: result as OkOf<Op>, out, wallS };
    throw notOk(`command ${this.#command.name}: ${body.op}`, result as Exclude<ResultOf<Operation>, { status: 'ok' }>);
  }

  /** Alone on the host where the program computes here, on its device where it computes elsewhere. */
  #locked<T>(mode: LockMode, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    const { onThisHost = true, device } = this.#description ?? {};
    const elsewhere = shortDigest(digestJson(device ?? { command: this.#command.name }));
    const directory = onThisHost
      ? this.#lockDirectory
      : join(
          this.#lockDirectory ?? tmpdir(),
          `ridgepoint-device-${process.getuid?.() ?? userInfo().username}-${elsewhere}`,
        );
    return withHostLock(mode, task, { signal, directory });
  }

  /** What is made of an answer that has the right form, and may still be wrong. */
  #valid<T>(op: Operation, read: () => T): T {
    try {
      return read();
    } catch (cause) {
      this.#failed = true;
      throw new CommandError('badResult', `command ${this.#command.name}: ${op}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
}

/**
 * What a model takes, as requests say it.
 * @param where names the model in errors. @throws {InvalidFileError} when it is none. @throws {ConfigError} when more
 * than its batch is open.
 */
export function requestInputs(model: Uint8Array, batch: number, where: string): RequestOf<'measure'>['inputs'] {
  return readOnnx(model, where).inputs.map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape: shape.map((extent, axis) => extentOf(name, extent, axis, batch)),
    open: shape.some((extent) => typeof extent === 'string'),
  }));
}

function notOk(
  where: string,
  result: Infeasible | { readonly status: 'failed'; readonly code: string; readonly retry: boolean; detail: string },
): Error {
  if (result.status === 'failed')
    return new CommandError('told', `${where}: ${result.detail}`, { code: result.code, retry: result.retry });
  const { reason, detail, limit, observed } = result;
  const numbers = observed === undefined ? '' : `, ${observed}${limit === undefined ? '' : ` of at most ${limit}`}`;
  return new InfeasibleModelError(
    `${where}: the model cannot run there: ${reason}${numbers}${detail ? ` (${detail})` : ''}`,
    result,
  );
}
