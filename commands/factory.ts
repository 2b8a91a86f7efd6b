import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { digestBytes, digestJson, shortDigest } from '../core/digest.ts';
import { ConfigError } from '../core/errors.ts';
import { askCommand } from './ask.ts';
import type { Command } from './declaration.ts';
import type { CommandEvent, Infeasible, OkOf, Operation, RequestOf, ResultOf } from './protocol.ts';
import { CommandError, pathInOut, runCommand } from './run.ts';

/** A network that a factory is asked for. */
export type FactoryScaling = Pick<RequestOf<'build'>, 'multipliers' | 'resolution' | 'channels' | 'classes'>;

/** A program and what it is handed. */
export interface FactoryProgram {
  readonly command: Command;
  readonly params: RequestOf<'build'>['params'];
}

export interface FactoryOptions {
  /** Writes networks. */
  readonly factory: FactoryProgram;
  /** Trains what the factory wrote. */
  readonly trainer: FactoryProgram;
  readonly study: string;
  /** Kept: states, requests and logs live here. */
  readonly folder: string;
  readonly clock?: Clock;
}

/** One training of a network that the factory wrote. */
export interface FactoryTraining {
  readonly id: string;
  readonly scaling: FactoryScaling;
  readonly model: RequestOf<'train-model'>['model'];
  /** Its file at the network's resolution: `writeTrainingData`. */
  readonly data: RequestOf<'train-model'>['data'];
  readonly examples: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: CommandEvent) => void;
}

/** A file that a program wrote, or why the network cannot be had. */
export type FactoryAnswer<Op extends 'build' | 'train-model'> =
  | { readonly status: 'ok'; readonly result: OkOf<Op>; readonly onnx: Uint8Array }
  | Infeasible;

/** The user's own programs as a family of networks: what is known of one is its multipliers and its ONNX file. */
export interface Factory {
  /** Whether the programs train on this machine. @throws {ConfigError} when one of them cannot do its part. */
  describe(signal?: AbortSignal): Promise<{ readonly onThisHost: boolean }>;
  /** @throws {CommandError} when the program fails, or its answer cannot be right. @throws {InterruptedError} when aborted. */
  build(scaling: FactoryScaling, signal?: AbortSignal): Promise<FactoryAnswer<'build'>>;
  /** Trainings of one network and seed share a state. Throws as `build` does. */
  train(training: FactoryTraining): Promise<FactoryAnswer<'train-model'>>;
}

/** Opens a factory; nothing runs until it is asked. */
export function openFactory({ factory, trainer, study, folder, clock }: FactoryOptions): Factory {
  const timed = clock ? { clock } : {};
  return {
    async describe(signal) {
      await describe(factory.command, 'build', join(folder, 'describe-factory'), signal);
      return describe(trainer.command, 'train-model', join(folder, 'describe-trainer'), signal);
    },
    async build(scaling, signal) {
      const home = join(folder, `build-${shortDigest(digestJson(scaling))}`);
      const body = { op: 'build', ...scaling, params: factory.params } as const;
      const { result, out } = await askCommand(factory.command, () => body, { folder: home, signal, ...timed });
      if (result.status !== 'ok') return feasible('build', factory.command, result);
      return { status: 'ok', result, onnx: fileIn(factory.command, 'build', out, { path: result.onnx }) };
    },
    async train({ id, scaling, model, data, examples, seed, signal, onEvent }) {
      const home = join(folder, `${shortDigest(digestJson({ scaling, seed }))}-s${seed}`);
      const attempts = join(home, 'attempts', id);
      mkdirSync(attempts, { recursive: true });
      const { params } = trainer;
      const body = { op: 'train-model', study, trial: id, seed, ...scaling, model, data, params } as const;
      const { result, out } = await askCommand(
        trainer.command,
        (attempt) => ({ ...body, attempt, fidelity: { examples } }),
        {
          folder: attempts,
          state: join(home, 'state'),
          firstAttempt: 1 + readdirSync(attempts).length,
          signal,
          onEvent,
          ...timed,
        },
      );
      if (result.status !== 'ok') return feasible('train-model', trainer.command, result);
      const artefact = result.artefacts.find(({ kind }) => kind === 'onnx');
      if (!artefact) throw badResult(trainer.command, 'train-model', 'expected an artefact of kind onnx, got none');
      return { status: 'ok', result, onnx: fileIn(trainer.command, 'train-model', out, artefact) };
    },
  };
}

async function describe(
  command: Command,
  operation: Operation,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<OkOf<'describe'>> {
  const { result } = await runCommand(command, { op: 'describe' }, { folder, signal });
  if (result.status === 'failed') throw told(command, 'describe', result);
  if (!result.operations.includes(operation))
    throw new ConfigError(
      `command ${command.name}: expected a program that can ${operation}, got one that can ${result.operations.join(', ')}`,
    );
  return result;
}

type NotOk = Exclude<ResultOf<'build' | 'train-model'>, { readonly status: 'ok' }>;

/** A failure is the environment's, and ends the work; that a network cannot be had is something to learn from. */
function feasible(op: Operation, command: Command, result: NotOk): Infeasible {
  if (result.status === 'failed') throw told(command, op, result);
  return result;
}

function told(
  command: Command,
  op: Operation,
  { code, retry, detail }: { readonly code: string; readonly retry: boolean; readonly detail: string },
): CommandError {
  return new CommandError('told', `command ${command.name}: ${op}: ${detail}`, { code, retry });
}

function badResult(command: Command, op: Operation, problem: string, cause?: unknown): CommandError {
  return new CommandError('badResult', `command ${command.name}: ${op}: ${problem}`, { cause });
}

/** A file that a result names, checked against its digest where it gives one. */
function fileIn(
  command: Command,
  op: Operation,
  out: string,
  { path, sha256 }: { readonly path: string; readonly sha256?: string },
): Uint8Array {
  try {
    const bytes = readFileSync(pathInOut(out, path));
    const promised = sha256 === undefined ? undefined : `sha256:${sha256.replace(/^sha256:/, '')}`;
    const found = digestBytes(bytes);
    if (promised !== undefined && found !== promised) throw new Error(`${path}: expected ${promised}, got ${found}`);
    return bytes;
  } catch (cause) {
    throw badResult(command, op, (cause as Error).message, cause);
  }
}
