import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, systemClock } from '../core/clock.ts';
import { digestBytes, shortDigest } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { Random } from '../core/random.ts';
import type { Fidelity } from '../core/trial.ts';
import { buildNetwork } from '../models/build.ts';
import { exportOnnx } from '../models/export.ts';
import { elements, type Graph } from '../models/graph.ts';
import { initialWeights } from '../models/initialise.ts';
import { decodeSafetensors, encodeSafetensors } from '../models/safetensors.ts';
import { type NetworkSpec, specDigest } from '../models/spec.ts';
import { askCommand } from './ask.ts';
import type { Command } from './declaration.ts';
import type { CommandEvent, OkOf, RequestOf, ResultOf } from './protocol.ts';
import { type Answer, CommandError, pathInOut, runCommand } from './run.ts';

/** What every training by one program in one study has in common. */
export interface CommandTrainerOptions {
  readonly command: Command;
  readonly params: RequestOf<'train'>['params'];
  readonly study: string;
  /** Kept: states, requests and logs live here. */
  readonly folder: string;
  readonly clock?: Clock;
}

/** One network to train. */
export interface CommandTraining {
  readonly id: string;
  readonly spec: NetworkSpec;
  /** Its file at the network's resolution: {@link writeTrainingData}. */
  readonly data: RequestOf<'train'>['data'];
  readonly fidelity: Fidelity;
  readonly keepWeights: boolean;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CommandEvent) => void;
}

/** What became of it; `weights` are the bytes of a checked safetensors file. */
export type CommandTrainingResult =
  | { readonly result: OkOf<'train'>; readonly weights?: Uint8Array; readonly wallS: number }
  | { readonly result: Exclude<ResultOf<'train'>, { readonly status: 'ok' }>; readonly wallS: number };

/** A user's own program as a trainer. */
export interface CommandTrainer {
  /** @throws {ConfigError} when the program does not train. @throws {CommandError} when it does not answer. */
  describe(signal?: AbortSignal): Promise<OkOf<'describe'>>;
  /**
   * Networks of one spec and seed share a state, so that a longer training may go on from a shorter one; they
   * are not trained at once.
   * @throws {CommandError} when the program fails, or its answer cannot be right. @throws {InterruptedError} when aborted.
   */
  train(training: CommandTraining): Promise<CommandTrainingResult>;
}

/** Where trainings of one network and seed keep their state, requests and logs. */
function homeOf(folder: string, digest: string, seed: number): string {
  return join(folder, `${shortDigest(digest)}-s${seed}`);
}

function attemptsIn(home: string, id: string): string {
  return join(home, 'attempts', id);
}

/**
 * The folder that has one folder for each attempt at a training, with its request, its result and `log.txt`.
 * @param folder of the trainer; @param training by its id, its spec's digest and its seed.
 */
export function trainingAttempts(
  folder: string,
  { id, specDigest, seed }: { readonly id: string; readonly specDigest: string; readonly seed: number },
): string {
  return attemptsIn(homeOf(folder, specDigest, seed), id);
}

/** Opens a trainer; nothing runs until it is asked. */
export function openCommandTrainer(options: CommandTrainerOptions): CommandTrainer {
  const { command } = options;
  let description: Promise<OkOf<'describe'>> | undefined;
  const busy = new Map<string, Promise<unknown>>();
  return {
    describe(signal) {
      description ??= describeTrainer(options, signal).catch((error: unknown) => {
        // It may do better when it is asked for the next network.
        description = undefined;
        throw error;
      });
      return description;
    },
    train: async (training) => {
      const home = homeOf(options.folder, specDigest(training.spec), training.fidelity.seed);
      const turn = (busy.get(home) ?? Promise.resolve()).then(() => train(options, training, home));
      busy.set(
        home,
        turn.catch(() => {}),
      );
      return turn;
    },
  };

  async function describeTrainer(
    { folder }: CommandTrainerOptions,
    signal: AbortSignal | undefined,
  ): Promise<OkOf<'describe'>> {
    const { result } = await runCommand(command, { op: 'describe' }, { folder: join(folder, 'describe'), signal });
    if (result.status === 'failed')
      throw new CommandError('told', `command ${command.name}: describe: ${result.detail}`, {
        code: result.code,
        retry: result.retry,
      });
    if (!result.operations.includes('train'))
      throw new ConfigError(
        `command ${command.name}: expected a program that can train, got one that can ${result.operations.join(', ')}`,
      );
    return result;
  }
}

async function train(
  options: CommandTrainerOptions,
  training: CommandTraining,
  home: string,
): Promise<CommandTrainingResult> {
  const { command, clock = systemClock } = options;
  const { id, spec, keepWeights, signal } = training;
  const graph = buildNetwork(spec, 'batch');
  const given = writeTrainingFiles(home, training);
  const handle = new Handle(join(home, 'handle.json'), id);
  const folder = attemptsIn(home, id);
  mkdirSync(folder, { recursive: true });
  const answer = await askCommand(
    command,
    (attempt) => ({
      op: 'train',
      study: options.study,
      trial: id,
      attempt,
      seed: training.fidelity.seed,
      ...given,
      data: training.data,
      fidelity: { examples: training.fidelity.examples },
      params: options.params,
      keepWeights,
      ...handle.known(),
    }),
    {
      folder,
      state: join(home, 'state'),
      firstAttempt: 1 + readdirSync(folder).length,
      // Other failures are the study's to journal, and to try again.
      attempts: 1,
      signal,
      clock,
      onEvent: (event) => {
        if (event.t === 'handle') handle.keep(event.handle);
        training.onEvent?.(event);
      },
    },
  );
  handle.forget();
  for (const file of [given.files.weights, given.files.onnx]) rmSync(file, { force: true });
  const { result, out, wallS } = answer;
  if (result.status !== 'ok') return { result, wallS };
  try {
    const weights = readWeights(result, out, graph);
    if (keepWeights && !weights) throw new Error('expected an artefact of kind weights, got none');
    rmSync(out, { recursive: true, force: true });
    rmSync(join(out, '..', 'work'), { recursive: true, force: true });
    return { result, wallS, ...(weights ? { weights } : {}) };
  } catch (cause) {
    throw new CommandError('badResult', `command ${command.name}: train ${id}: ${(cause as Error).message}`, { cause });
  }
}

/** What a `handle` event said last of a trial that has no answer yet: its job may still run when we come back. */
class Handle {
  readonly #file: string;
  readonly #trial: string;

  constructor(file: string, trial: string) {
    this.#file = file;
    this.#trial = trial;
  }

  known(): Pick<RequestOf<'train'>, 'handle'> {
    if (!existsSync(this.#file)) return {};
    const { trial, handle } = JSON.parse(readFileSync(this.#file, 'utf8')) as {
      trial: string;
      handle: RequestOf<'train'>['handle'];
    };
    return trial === this.#trial ? { handle } : {};
  }

  keep(handle: RequestOf<'train'>['handle']): void {
    writeFileSync(this.#file, JSON.stringify({ trial: this.#trial, handle }));
  }

  forget(): void {
    rmSync(this.#file, { force: true });
  }
}

/** Writes what a training starts from. @returns how the request names it. */
export function writeTrainingFiles(
  home: string,
  { spec, fidelity }: Pick<CommandTraining, 'spec' | 'fidelity'>,
): Pick<RequestOf<'train'>, 'spec' | 'files'> {
  const graph = buildNetwork(spec, 'batch');
  mkdirSync(home, { recursive: true });
  const path = (name: string): string => join(home, name);
  const shapes = new Map(graph.parameters.map(({ name, shape }) => [name, shape]));
  const weights = initialWeights(graph, new Random(fidelity.seed).child('weights'));
  writeFileSync(path('spec.json'), JSON.stringify(spec));
  writeFileSync(path('graph.json'), JSON.stringify(graphFile(graph)));
  writeFileSync(path('weights.safetensors'), encodeSafetensors({ weights, shapes, metadata: {} }));
  writeFileSync(path('init.onnx'), exportOnnx(spec, weights, 'batch'));
  const trained = graph.parameters.filter(({ role }) => !role.startsWith('running-'));
  return {
    spec: {
      file: path('spec.json'),
      digest: specDigest(spec),
      padding: 'same',
      bnEps: spec.batchNorm.epsilon,
      params: trained.reduce((sum, { shape }) => sum + elements(shape), 0),
    },
    files: { graph: path('graph.json'), weights: path('weights.safetensors'), onnx: path('init.onnx') },
  };
}

/** A graph as JSON: any network is a few kinds of operators, which docs/commands.md lists. */
function graphFile({ inputs, outputs, parameters, nodes }: Graph): object {
  return {
    schema: 1,
    inputs: inputs.map(({ name, shape }) => ({ name, shape })),
    outputs,
    parameters: parameters.map(({ name, shape, role }) => ({ name, shape, role })),
    nodes,
  };
}

/**
 * The weights among a result's artefacts, checked against the network.
 * @throws {Error} when they are not what was promised or not of this network.
 */
function readWeights(result: OkOf<'train'>, out: Answer<'train'>['out'], graph: Graph): Uint8Array | undefined {
  const artefact = result.artefacts.find(({ kind }) => kind === 'weights');
  if (!artefact) return undefined;
  const path = pathInOut(out, artefact.path);
  const bytes = readFileSync(path);
  const promised = `sha256:${artefact.sha256.replace(/^sha256:/, '')}`;
  const digest = digestBytes(bytes);
  if (digest !== promised) throw new Error(`${path}: expected ${promised}, got ${digest}`);
  const { weights, shapes } = decodeSafetensors(bytes, path);
  for (const { name, shape } of graph.parameters) {
    const found = shapes.get(name);
    if (found?.join() !== shape.join())
      throw new Error(
        `${path}: expected ${name} [${shape.join(', ')}], got ${found ? `[${found.join(', ')}]` : 'none'}`,
      );
    if (weights.get(name)?.some((value) => !Number.isFinite(value)))
      throw new Error(`${path}: expected finite values of ${name}`);
  }
  const extra = [...weights.keys()].filter((name) => !graph.parameters.some((parameter) => parameter.name === name));
  if (extra.length > 0)
    throw new Error(`${path}: expected the network's parameters only, got also ${extra.join(', ')}`);
  return bytes;
}
