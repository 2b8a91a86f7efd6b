import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Command } from '../commands/declaration.ts';
import type { Exit } from '../commands/process-group.ts';
import { exitCodes, type OkOf, type Operation, type RequestOf, type ResultOf } from '../commands/protocol.ts';
import { pathInOut, type ProgramRun, readResult, type RequestBody, runProgram, writeRequest } from '../commands/run.ts';
import { commandProtocols } from '../commands/sampling.ts';
import { readSession } from '../commands/session.ts';
import { requestInputs } from '../commands/target.ts';
import { type CommandTraining, openCommandTrainer, writeTrainingFiles } from '../commands/trainer.ts';
import { writeTrainingData } from '../commands/training-data.ts';
import { digestBytes } from '../core/digest.ts';
import { InterruptedError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import { datasetDigest, writeDatasetFile } from '../data/cache.ts';
import { loadDataset } from '../data/load.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { initialWeights } from '../models/initialise.ts';
import { decodeSafetensors } from '../models/safetensors.ts';
import { type NetworkSpec, parseNetworkSpec } from '../models/spec.ts';
import { verificationTolerance } from './deliver/deliver-phase.ts';
import { scoreFile } from './evaluation/score.ts';

/** One thing the protocol asks of a program, and whether it does it. */
export interface Clause {
  readonly clause: string;
  readonly verdict: 'pass' | 'fail' | 'skip';
  /** What was seen; for a failure, what was expected and what was got. */
  readonly detail: string;
}

export interface ConformOptions {
  readonly signal?: AbortSignal;
  readonly onClause?: (clause: Clause) => void;
}

/** How long a run that is to be stopped is let run when it sends no event. */
const stopAfterMs = 4000;
const trainedExamples = 256;
/** More than anyone trains in that time. */
const endlessExamples = 1e9;

/** A network with a bit of everything that a study's default space draws. */
const spec: NetworkSpec = parseNetworkSpec(
  {
    input: { resolution: 16 },
    classes: 4,
    stem: { kernel: 3, stride: 2, width: 8, activation: 'silu' },
    stages: [
      { operator: 'fused-mbconv', kernel: 3, stride: 1, expansion: 2, width: 8, repeats: 1 },
      {
        operator: 'mbconv',
        kernel: 5,
        stride: 2,
        expansion: 3,
        width: 12,
        repeats: 2,
        squeezeExcite: 0.25,
        activation: 'silu',
      },
    ],
    head: { width: 16, dropout: 0.1 },
    survival: 0.9,
  },
  'conform',
);

/**
 * Checks a program against `ridgepoint.command/1`, clause by clause: what it says of itself, then every
 * operation it says it has, on a tiny network, then bad requests and being stopped.
 * @throws {InterruptedError} when aborted.
 */
export async function conform(command: Command, options: ConformOptions = {}): Promise<readonly Clause[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ridgepoint-conform-'));
  try {
    const conformance = new Conformance(command, folder, options);
    await conformance.check();
    return conformance.clauses;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A clause that could not be looked at. */
class Skipped extends Error {}

class Conformance {
  readonly clauses: Clause[] = [];
  readonly #command: Command;
  readonly #folder: string;
  readonly #options: ConformOptions;
  readonly #runs: ProgramRun[] = [];

  constructor(command: Command, folder: string, options: ConformOptions) {
    this.#command = command;
    this.#folder = folder;
    this.#options = options;
  }

  async check(): Promise<void> {
    const description = await this.#clause('describe: says what the program can do', async () => {
      const found = await this.#ask({ op: 'describe' });
      return [found, `${found.name} ${found.version}: ${found.operations.join(', ')}`];
    });
    if (!description) return;
    await this.#clause('an unknown operation is refused', () => this.#refuses({ op: 'no-such-operation' }));
    await this.#clause('a request that cannot be read is refused', () => this.#refuses('{"op": "descr'));
    if (description.operations.includes('measure')) await this.#checkTarget(description);
    if (description.operations.includes('train')) await this.#checkTrainer();
    await this.#clause('nothing is left running', () => {
      const left = this.#runs.filter(({ leftRunning }) => leftRunning).length;
      if (left > 0)
        throw expected('all that was started to have ended with the program', `processes left by ${left} runs`);
      return [undefined, `after ${this.#runs.length} runs`];
    });
    await this.#clause('every event is well formed', () => {
      const bad = this.#runs.reduce((sum, { malformedEvents }) => sum + malformedEvents, 0);
      if (bad > 0) throw expected('lines that begin with "@ridgepoint " to be events', `${bad} that are none`);
      return [undefined, `${this.#runs.reduce((sum, { events }) => sum + events, 0)} seen`];
    });
  }

  async #checkTarget({ operations, precisions }: OkOf<'describe'>): Promise<void> {
    const bytes = exportOnnx(spec, initialWeights(buildNetwork(spec, 1), new Random('conform')), 'batch');
    const file = (name: string, content: Uint8Array): RequestOf<'measure'>['model'] => {
      writeFileSync(join(this.#folder, name), content);
      return { onnx: join(this.#folder, name), digest: digestBytes(content) };
    };
    const precision = precisions?.[0] ?? 'fp32';
    const inputs = requestInputs(bytes, 2, 'network');
    const setting = { target: this.#command.name, inputs, batch: 2, threads: 1, precision };
    const { sampling } = commandProtocols.quick;
    const measure = (
      model: RequestOf<'measure'>['model'],
      durationS = sampling.durationS,
    ): RequestBody<'measure'> & { readonly op: 'measure' } => ({
      op: 'measure',
      ...setting,
      model,
      percentiles: [50, 90, 99],
      sampling: { ...sampling, durationS },
    });
    let model = file('network.onnx', bytes);

    if (operations.includes('prepare'))
      await this.#clause('prepare: gives what it made of a model', async () => {
        const run = await this.#run({ op: 'prepare', ...setting, model });
        const { prepared } = answerOf('prepare', run);
        const path = pathInOut(run.out, prepared);
        if (!existsSync(path)) throw expected(`a file ${prepared} below paths.out`, 'none');
        model = { ...model, prepared: path };
        return [undefined, prepared];
      });
    await this.#clause('measure: gives the times of single runs, in milliseconds', async () => {
      const run = await this.#run(measure(model));
      const session = readSession(answerOf('measure', run), run, precision);
      const { samplesMs } = session;
      if (!samplesMs) return [undefined, `percentiles only: latencies will be marked as reported`];
      if (samplesMs.length < sampling.minSamples)
        throw expected(`at least sampling.minSamples = ${sampling.minSamples} samples`, String(samplesMs.length));
      return [undefined, `${samplesMs.length} samples, p50 ${session.p50Ms.toPrecision(3)} ms`];
    });
    await this.#clause('measure: a file that is no model is refused', () =>
      this.#refuses(measure(file('no-model.onnx', Buffer.from('no model')))),
    );
    await this.#clause('measure: stops on SIGTERM', () => this.#stops(measure(model, 120)));
  }

  async #checkTrainer(): Promise<void> {
    const { signal } = this.#options;
    const dataset = await loadDataset(
      { format: 'rendered', classes: 4, resolution: 16, train: 200, test: 50, holdout: 0.25, testShare: 0.15, seed: 0 },
      { baseDirectory: this.#folder, signal },
    );
    const [dataFile, trainingFile] = ['data.bin', 'training.bin'].map((name) => join(this.#folder, name)) as [
      string,
      string,
    ];
    await writeDatasetFile(dataset, dataFile);
    await writeTrainingData(dataset, spec.input.resolution, trainingFile);
    const { name, classNames, mean, std } = dataset;
    const data = {
      file: trainingFile,
      digest: datasetDigest(dataset),
      name,
      classNames: [...classNames],
      mean: [...mean],
      std: [...std],
    };
    const folder = join(this.#folder, 'trainings');
    const trainer = openCommandTrainer({ command: this.#command, params: {}, study: 'conform', folder });
    const train = (id: string, examples: number, keys: Partial<CommandTraining> = {}) =>
      trainer.train({ id, spec, data, fidelity: { examples, seed: 0 }, keepWeights: true, signal, ...keys });

    const trained = await this.#clause('train: gives a hold-out accuracy and weights of the network', async () => {
      const answer = await train('t0001', trainedExamples);
      if (answer.result.status !== 'ok' || !('weights' in answer) || !answer.weights)
        throw expected('status ok', JSON.stringify(answer.result));
      const { accuracy } = answer.result.metrics;
      return [
        { accuracy, weights: answer.weights },
        `${(100 * accuracy.value).toFixed(1)} % of ${accuracy.n} examples`,
      ];
    });
    if (!trained) return;
    await this.#clause('train: the weights, exported, reach that accuracy', async () => {
      const modelFile = join(this.#folder, 'trained.onnx');
      writeFileSync(modelFile, exportOnnx(spec, decodeSafetensors(trained.weights, 'weights').weights, 'batch'));
      const { holdout } = await scoreFile({ modelFile, dataFile, splits: ['holdout'] }, signal);
      const { accuracy, examples } = holdout;
      const { value, n } = trained.accuracy;
      if (n !== examples) throw expected(`all ${examples} examples of the hold-out to be scored`, String(n));
      if (Math.abs(value - accuracy) > verificationTolerance(examples))
        throw expected(`${(100 * value).toFixed(1)} %, as the program says`, `${(100 * accuracy).toFixed(1)} %`);
      return [undefined, `${(100 * accuracy).toFixed(1)} %`];
    });
    await this.#clause('train: goes on with a state that a shorter training left', async () => {
      const { result } = await train('t0002', 2 * trainedExamples, { keepWeights: false });
      if (result.status !== 'ok') throw expected('status ok', JSON.stringify(result));
      return [undefined, `${2 * trainedExamples} examples after ${trainedExamples}`];
    });
    await this.#clause('train: stops on SIGTERM', () => {
      const given = writeTrainingFiles(join(folder, 'stopped'), { spec, fidelity: { examples: 1, seed: 0 } });
      return this.#stops({
        op: 'train',
        study: 'conform',
        trial: 't0003',
        attempt: 1,
        seed: 0,
        ...given,
        data,
        fidelity: { examples: endlessExamples },
        params: {},
        keepWeights: false,
      });
    });
  }

  /** Runs one clause and keeps its verdict; a clause fails by throwing. @returns what it found; undefined when it failed or was skipped. */
  async #clause<Found>(
    clause: string,
    check: () => Promise<readonly [Found, string]> | readonly [Found, string],
  ): Promise<Found | undefined> {
    const keep = (verdict: Clause['verdict'], detail: string): void => {
      this.clauses.push({ clause, verdict, detail });
      this.#options.onClause?.({ clause, verdict, detail });
    };
    try {
      const [found, detail] = await check();
      keep('pass', detail);
      return found;
    } catch (error) {
      if (this.#options.signal?.aborted) throw new InterruptedError('conform: interrupted', { cause: error });
      keep(error instanceof Skipped ? 'skip' : 'fail', (error as Error).message);
      return undefined;
    }
  }

  async #ask<Op extends Operation>(body: RequestBody<Op> & { readonly op: Op }): Promise<OkOf<Op>> {
    return answerOf(body.op, await this.#run(body));
  }

  /** A run on a request, whatever it answers. */
  #run<Op extends Operation>(
    body: RequestBody<Op> & { readonly op: Op },
    stop?: { readonly signal: AbortSignal; readonly onEvent: () => void },
  ): Promise<ProgramRun> {
    const folder = this.#newFolder();
    return this.#start(writeRequest(this.#command, body, { folder }), folder, stop);
  }

  async #start(
    request: Pick<RequestOf<Operation>, 'limits' | 'paths'>,
    folder: string,
    stop?: { readonly signal: AbortSignal; readonly onEvent: () => void },
  ): Promise<ProgramRun> {
    const run = await runProgram(this.#command, request, { folder, signal: this.#options.signal, ...stop });
    if (this.#options.signal?.aborted) throw new InterruptedError('conform: interrupted');
    this.#runs.push(run);
    return run;
  }

  #newFolder(): string {
    const folder = join(this.#folder, `run-${this.#runs.length + 1}`);
    mkdirSync(folder);
    return folder;
  }

  /** A request that no program can answer: text as it is, or keys that replace those of a good one. */
  async #refuses(bad: string | object): Promise<readonly [undefined, string]> {
    const folder = this.#newFolder();
    const request = writeRequest(this.#command, { op: 'describe' }, { folder });
    writeFileSync(join(folder, 'request.json'), typeof bad === 'string' ? bad : JSON.stringify({ ...request, ...bad }));
    const run = await this.#start(request, folder);
    const got = exitText(run.exit);
    const status = statusOf(run.result);
    const reserved: readonly number[] = [0, exitCodes.preempted, exitCodes.environmentBroken];
    const failed = 'signal' in run.exit || ('code' in run.exit && !reserved.includes(run.exit.code));
    const told = 'code' in run.exit && run.exit.code === 0 && (status === 'failed' || status === 'infeasible');
    if (!failed && !told)
      throw expected(
        `an exit code other than 0, ${exitCodes.preempted} and ${exitCodes.environmentBroken}, or a result that is not ok`,
        `${got}${status ? ` and status ${status}` : ''}`,
      );
    return [undefined, told ? `status ${status}` : got];
  }

  /** A run that would take long is sent SIGTERM, once it shows signs of life. */
  async #stops<Op extends Operation>(
    body: RequestBody<Op> & { readonly op: Op },
  ): Promise<readonly [undefined, string]> {
    const controller = new AbortController();
    const outer = this.#options.signal;
    const abort = (): void => controller.abort();
    outer?.addEventListener('abort', abort);
    const timer = setTimeout(abort, stopAfterMs);
    try {
      const run = await this.#run(body, { signal: controller.signal, onEvent: abort });
      const got = exitText(run.exit);
      if (run.stopped !== 'aborted') throw new Skipped(`it ended before it was asked to stop, with ${got}`);
      if ('signal' in run.exit && run.exit.signal === 'SIGKILL')
        throw expected(
          `the program to end within graceS = ${run.limits.graceS} s of SIGTERM`,
          'one that had to be killed',
        );
      return [undefined, `ended with ${got}`];
    } finally {
      clearTimeout(timer);
      outer?.removeEventListener('abort', abort);
    }
  }
}

function expected(what: string, got: string): Error {
  return new Error(`expected ${what}, got ${got}`);
}

/** A run's ok result. @throws {Error} when it has none. */
function answerOf<Op extends Operation>(op: Op, run: ProgramRun): OkOf<Op> {
  const { exit, stopped, lastLines } = run;
  const said = lastLines ? `; its last output:\n${lastLines}` : '';
  if (stopped) throw expected(`an answer within ${run.limits.wallS} s`, `none${said}`);
  if (!('code' in exit) || exit.code !== 0) throw expected('exit code 0 and a result', `${exitText(exit)}${said}`);
  if (!existsSync(run.result)) throw expected(`a result file at paths.result`, `none${said}`);
  let result: ResultOf<Op>;
  try {
    result = readResult(op, run.result);
  } catch (error) {
    throw expected('a valid result', error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message);
  }
  if (result.status !== 'ok') throw expected('status ok', JSON.stringify(result));
  return result as OkOf<Op>;
}

function statusOf(result: string): string | undefined {
  try {
    return String((JSON.parse(readFileSync(result, 'utf8')) as { status?: unknown }).status);
  } catch {
    return undefined;
  }
}

function exitText(exit: Exit): string {
  if ('notStarted' in exit) return `a program that could not be started (${exit.notStarted.message})`;
  return 'signal' in exit ? exit.signal : `exit code ${exit.code}`;
}
