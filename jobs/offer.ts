import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { availableParallelism } from 'node:os';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { providerIds } from '../accelerators/onnxruntime.ts';
import { commandNameOf, commandsSchema, findCommand } from '../commands/declaration.ts';
import { ConfigError } from '../core/errors.ts';
import { durationSchema } from '../core/units.ts';
import { isProfile } from '../study/study-file.ts';
import { hasNativeTensorFlow, installedTensorFlow } from '../training/tfjs/load.ts';
import { isS3 } from './s3-store.ts';
import { builtInTrainers, isBuiltInTrainer, offeredNameSchema } from './contract.ts';

/** What a person writes in `worker.yaml`. */
const offerFileSchema = z.strictObject({
  /** Devices by the name that studies use: an accelerator of this host, or `command:<name>`. */
  devices: z.record(offeredNameSchema, z.string()).default({}),
  /** `built-in`, `tfjs`, and commands by name; Ridgepoint's own that are fast here when left out. */
  trainers: z.array(offeredNameSchema).optional(),
  /** Programs of one's own. They are started from this declaration only: nothing that can be run travels. */
  commands: commandsSchema.default({}),
  /** Trainings at once, of each trainer; 0 for a worker that only measures. */
  slots: z.int().min(0).max(1024).optional(),
  /** The folder of files by digest, as this host sees it, or `s3://bucket/prefix`. */
  store: z.string().optional(),
  /** A worker that is not heard of for so long loses its jobs to others. */
  lock: durationSchema.default(30_000),
  /** How often a training is saved for others to go on with. */
  checkpoint: durationSchema.default(30_000),
});

/** What a worker offers, checked: every name leads somewhere. */
export interface Offer {
  readonly devices: Readonly<Record<string, string>>;
  readonly trainers: readonly string[];
  readonly commands: z.output<typeof commandsSchema>;
  /** Folder that relative paths of commands start from. */
  readonly baseDirectory: string;
  readonly slots: number;
  /** Folder of this host for files by digest. */
  readonly store: string;
  /** Where files are shared, `s3://bucket/prefix`, when the folder is not what all sides see. */
  readonly remote?: string;
  readonly lockMs: number;
  /** Milliseconds of training that the loss of this host may cost. */
  readonly checkpointMs: number;
}

/** What flags say; each goes before what the file says. */
export interface OfferFlags {
  readonly devices: readonly string[];
  readonly slots?: number | undefined;
  readonly store?: string | undefined;
}

/** Folder of files by digest where none is named: below the folder of studies, which is right for one machine. */
export const defaultStore = 'runs/store';

/**
 * What a worker offers, from a file and flags.
 * @param path of `worker.yaml`; without it the worker has Ridgepoint's own trainers only.
 * @param isInstalled whether a package can be resolved from here.
 * @throws {ConfigError} naming each offending key.
 * @throws {EnvironmentError} when a trainer is named whose package is not installed.
 */
export function readOffer(
  path: string | undefined,
  flags: OfferFlags,
  isInstalled?: (packageName: string) => boolean,
): Offer {
  const where = path ?? 'ridgepoint worker';
  const file = offerFileSchema.safeParse(path === undefined ? {} : readYaml(path));
  if (!file.success) throw new ConfigError(`${where}: not a worker file\n${z.prettifyError(file.error)}`);
  const { devices, trainers, commands, slots, store, lock, checkpoint } = file.data;
  const baseDirectory = path === undefined ? process.cwd() : dirname(resolve(path));
  const offer: Offer = {
    devices: { ...devices, ...Object.fromEntries(flags.devices.map((id) => [nameOf(id), id])) },
    trainers: trainers ?? ownTrainers(isInstalled),
    commands,
    baseDirectory,
    slots: flags.slots ?? slots ?? availableParallelism(),
    ...storesOf(flags.store, store, baseDirectory),
    lockMs: lock,
    checkpointMs: checkpoint,
  };
  checkNames(offer, where);
  if (offer.trainers.includes(builtInTrainers.tfjs)) installedTensorFlow(isInstalled);
  if (Object.keys(offer.devices).length === 0 && (offer.slots === 0 || offer.trainers.length === 0))
    throw new ConfigError(`${where}: expected a device or a trainer with slots to offer, got neither`);
  return offer;
}

/** Ridgepoint's own trainers that a host offers by itself: one in plain JavaScript waits to be named. */
function ownTrainers(isInstalled: ((packageName: string) => boolean) | undefined): string[] {
  return [builtInTrainers.onnx, ...(hasNativeTensorFlow(isInstalled) ? [builtInTrainers.tfjs] : [])];
}

function storesOf(flag: string | undefined, file: string | undefined, baseDirectory: string) {
  const remote = [flag ?? file].find((place) => place !== undefined && isS3(place));
  if (remote !== undefined) return { store: resolve(defaultStore), remote };
  return { store: resolve(flag ?? (file === undefined ? defaultStore : resolve(baseDirectory, file))) };
}

/** `--on command:trt` offers the device `trt`. */
function nameOf(id: string): string {
  const name = commandNameOf(id) ?? id;
  if (!offeredNameSchema.safeParse(name).success) throw new ConfigError(`--on: expected a device, got ${id}`);
  return name;
}

function checkNames({ devices, trainers, commands }: Offer, where: string): void {
  for (const [name, id] of Object.entries(devices)) {
    const command = commandNameOf(id);
    if (command !== undefined) findCommand(commands, command, { where: `${where}: devices.${name}`, directory: '' });
    else if (!providerIds.some((provider) => provider === id) && !isProfile(id))
      throw new ConfigError(
        `${where}: devices.${name}: expected ${providerIds.join(', ')}, a profile or command:<name>, got ${JSON.stringify(id)}`,
      );
  }
  for (const name of trainers)
    if (!isBuiltInTrainer(name)) findCommand(commands, name, { where: `${where}: trainers`, directory: '' });
    else if (Object.hasOwn(commands, name))
      throw new ConfigError(
        `${where}: commands.${name}: expected another name than those of Ridgepoint's own trainers, got ${name}`,
      );
}

function readYaml(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8')) ?? {};
  } catch (cause) {
    throw new ConfigError(`${path}: expected a worker file in YAML: ${(cause as Error).message.split('\n')[0]}`, {
      cause,
    });
  }
}
