import type { Accelerator } from '../accelerators/accelerator.ts';
import { detectBlockSize } from './blocked/block-size.ts';
import { blockedLowering } from './blocked/lower.ts';
import { differenceToPlain } from './blocked/self-test.ts';
import type { Lowering } from './lowering.ts';
import { plainLowering } from './plain/lower.ts';
import { webGpuLowering } from './webgpu-lowering.ts';

/** The lowering a training runs by, and what a person should know about the choice. */
export interface ChosenLowering {
  readonly lowering: Lowering;
  readonly notice?: string;
}

/** A choice as plain data, for the next process on this host: the self-test costs each a fifth of a second. */
export interface FoundLowering {
  /** Of the lowering. */
  readonly id: string;
  readonly notice?: string;
}

const chosen = new WeakMap<Accelerator, Promise<ChosenLowering>>();

/**
 * The fastest lowering that an accelerator computes rightly. On the CPU that is the blocked one: its
 * kernels are internal to onnxruntime, so they must first give the plain lowering's numbers on a tiny
 * network. Where they are missing or wrong the plain lowering serves, with a notice. Other providers
 * have no such kernels, and run the plain one, WebGPU in other operators. Asked once a process.
 */
export function chooseLowering(accelerator: Accelerator): Promise<ChosenLowering> {
  const known = chosen.get(accelerator);
  if (known) return known;
  const choice = choose(accelerator);
  chosen.set(accelerator, choice);
  return choice;
}

/**
 * What an earlier process on this host, with this runtime, chose.
 * @throws {RangeError} when there is no such lowering.
 */
export function adoptLowering({ id, notice }: FoundLowering): ChosenLowering {
  const block = /^blocked(\d+)$/.exec(id)?.[1];
  if (id !== plainLowering.id && block === undefined) throw new RangeError(`expected the id of a lowering, got ${id}`);
  const lowering = block === undefined ? plainLowering : blockedLowering(Number(block));
  return { lowering, ...(notice !== undefined && { notice }) };
}

async function choose(accelerator: Accelerator): Promise<ChosenLowering> {
  if (accelerator.id !== 'cpu') return { lowering: accelerator.id === 'webgpu' ? webGpuLowering : plainLowering };
  const blocked = await tryBlocked(accelerator);
  if (typeof blocked !== 'string') return { lowering: blocked };
  const notice = `training by standard operators, which takes about twice as long: onnxruntime's blocked kernels ${blocked}`;
  return { lowering: plainLowering, notice };
}

/** @returns the lowering, or why it cannot be used. */
async function tryBlocked(accelerator: Accelerator): Promise<Lowering | string> {
  try {
    const lowering = blockedLowering(await detectBlockSize(accelerator));
    const difference = await differenceToPlain(accelerator, lowering);
    return difference === undefined ? lowering : `gave wrong numbers in a self-test (${difference})`;
  } catch (error) {
    return `did not run in a self-test (${(error as Error).message})`;
  }
}
