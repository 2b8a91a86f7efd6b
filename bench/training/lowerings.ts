import type { Accelerator } from '../../accelerators/accelerator.ts';
import { chooseLowering } from '../../training/choose-lowering.ts';
import type { Lowering } from '../../training/lowering.ts';
import { plainLowering } from '../../training/plain/lower.ts';

/** The lowerings that are timed: the one of standard operators, and what the trainer chooses on this machine. */
export const lowerings = {
  plain: async () => plainLowering,
  chosen: async (accelerator) => (await chooseLowering(accelerator)).lowering,
} as const satisfies Readonly<Record<string, (accelerator: Accelerator) => Promise<Lowering>>>;
export type LoweringId = keyof typeof lowerings;
export const loweringIds = Object.keys(lowerings) as readonly LoweringId[];
