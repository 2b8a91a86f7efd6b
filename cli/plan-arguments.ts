import { readFileSync } from 'node:fs';
import type { DeviceProfile, Precision } from '../accelerators/device-profile.ts';
import { findProfile } from '../accelerators/profile-file.ts';
import { ConfigError } from '../core/errors.ts';
import { parseDurationMs } from '../core/units.ts';
import { duration, significant } from '../report/format.ts';
import { type AllocationMapping, fittedMapping, publishedMapping } from '../scaling/allocate.ts';
import { parseFitFile } from '../scaling/fit-file.ts';
import type { Cluster, PlanRequest } from '../scaling/plan.ts';
import { stepTimePrior } from '../scaling/step-time.ts';
import { parseStepTimeFile } from '../scaling/step-time-file.ts';
import { numberArgument, positiveArgument } from './arguments.ts';

/** Share of the peak that trainings in print reach, where nothing is known. */
const assumedMfu = 0.4;
/** A flag's positive number where it was given. */
export function optionalArgument(flag: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : positiveArgument(flag, text);
}

/** A `--law`: its mapping, and whether the fit it is of selected it. */
interface NamedLaw {
  readonly mapping: AllocationMapping;
  readonly selected: boolean;
}

const lawFile = /^(?<path>.+\.ya?ml)(?:#(?<law>[^#]*))?$/i;

/** Laws by the name of a published one, all in a file of fits, or one of them: `laws.yaml#chinchilla`. */
function lawsOf(name: string): readonly NamedLaw[] {
  const { path, law } = lawFile.exec(name)?.groups ?? {};
  if (path === undefined) return [{ mapping: publishedMapping(name), selected: false }];
  const laws = parseFitFile(readText(path), path);
  const named = law === undefined ? laws : laws.filter((one) => one.law.name === law);
  if (law !== undefined && named.length === 0)
    throw new ConfigError(
      `--law: expected a law of ${path} (${laws.map((one) => one.law.name).join(', ')}), got '${law}'`,
    );
  return named.map((one) => ({ mapping: fittedMapping(one, path), selected: one.selected }));
}

/** The laws of every `--law`. @throws {ConfigError} for one that there is not. */
export function mappingsOf(names: readonly string[]): readonly AllocationMapping[] {
  return names.flatMap(lawsOf).map(({ mapping }) => mapping);
}

/**
 * The one law that `flag` needs: the only one, or that of a file's which the fit selected, of which `notices` are told.
 * @throws {ConfigError} for none, and for several that nothing chooses among.
 */
export function onlyMapping(flag: string, names: readonly string[], notices: string[]): AllocationMapping {
  const laws = names.flatMap(lawsOf);
  const [first, ...others] = laws;
  if (first && others.length === 0) return first.mapping;
  const selected = names.length === 1 ? laws.find((law) => law.selected) : undefined;
  const known = laws.map(({ mapping }) => mapping.name).join(', ');
  if (!selected) throw new ConfigError(`${flag}: expected one --law, got ${laws.length === 0 ? 'none' : known}`);
  notices.push(`${flag} takes ${selected.mapping.name}, which the fit selected of ${known}; --law may name another`);
  return selected.mapping;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(`${path}: expected a readable file, got ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}

/** What `--flops` or `--time` give. */
export function budgetOf({ flops, time }: { readonly flops?: string; readonly time?: string }): PlanRequest['budget'] {
  if ((flops === undefined) === (time === undefined))
    throw new ConfigError(`expected one of --flops and --time, got ${flops === undefined ? 'none' : 'both'}`);
  if (flops !== undefined) return { flops: positiveArgument('--flops', flops) };
  const timeS = parseDurationMs(time ?? '') / 1e3;
  if (!(timeS > 0)) throw new ConfigError(`--time: expected a time above zero, got ${time}`);
  return { timeS };
}

const trainingPrecisions = ['bf16', 'fp16', 'fp32'] as const satisfies readonly Precision[];

/** The devices of `--on` and `--count`; undefined without. What to know of their times is added to `notices`. */
export async function clusterOf(
  args: {
    readonly on?: string;
    readonly count: string;
    readonly precision?: string;
    readonly mfu?: string;
    readonly profile?: string;
    readonly time?: string;
  },
  notices: string[],
): Promise<Cluster | undefined> {
  if (args.on === undefined) {
    const flag = (['time', 'mfu', 'profile', 'precision'] as const).find((name) => args[name] !== undefined);
    if (flag) throw new ConfigError(`--${flag}: expected a device with it (--on h100-sxm), got none`);
    return undefined;
  }
  if (args.mfu !== undefined && args.profile !== undefined)
    throw new ConfigError('expected one of --mfu and --profile, got both');
  const device = await findProfile(args.on);
  const precision = precisionOf(device, args.precision);
  const peakFlopsPerS = (device.peakTflops[precision] ?? 0) * 1e12;
  const mfu = args.mfu === undefined ? assumedMfu : positiveArgument('--mfu', args.mfu);
  if (mfu > 1) throw new ConfigError(`--mfu: expected a share of at most 1, got ${args.mfu}`);
  const { gigabytes, gigabytesPerS } = device.memory ?? {};
  const prior = gigabytesPerS === undefined ? null : stepTimePrior({ gigabytesPerS, peakTflops: peakFlopsPerS / 1e12 });
  if (args.mfu === undefined && args.profile === undefined)
    notices.push(
      prior
        ? `times are a prior: step-time rates of A100s, scaled by ${device.id}'s bandwidth and peak; --profile takes measured ones, --mfu a share of the peak`
        : `times assume ${assumedMfu * 100} % of the peak: the bandwidth of ${device.id} is not known`,
    );
  return {
    device: device.id,
    count: numberArgument('--count', args.count, 1),
    peakFlopsPerS,
    memoryBytes: gigabytes === undefined ? undefined : gigabytes * 1e9,
    mfu,
    stepTime:
      args.profile === undefined
        ? args.mfu === undefined
          ? prior
          : null
        : parseStepTimeFile(readText(args.profile), args.profile),
  };
}

function precisionOf(device: DeviceProfile, asked: string | undefined): Precision {
  const known = trainingPrecisions.filter((precision) => device.peakTflops[precision] !== undefined);
  const found = asked === undefined ? known[0] : known.find((precision) => precision === asked);
  if (!found)
    throw new ConfigError(
      `${device.id}: expected a precision to train in (${known.join(', ') || 'it has none'}), got ${asked ?? 'none'}`,
    );
  return found;
}

/** Days from two on: trainings are planned in days. */
export function longDuration(seconds: number): string {
  return seconds >= 2 * 86_400 ? `${significant(seconds / 86_400)} d` : duration(seconds);
}

/** A budget, and where it is spent. */
export function budgetText(
  request: Pick<PlanRequest, 'budget'> & { readonly cluster?: Pick<Cluster, 'count' | 'device'> },
): string {
  const { budget, cluster } = request;
  const what = 'flops' in budget ? `${budget.flops.toExponential(3)} FLOPs` : longDuration(budget.timeS);
  return cluster ? `${what} on ${cluster.count} × ${cluster.device}` : what;
}
