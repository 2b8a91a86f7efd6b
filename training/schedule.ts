import { z } from 'zod';

const share = z.number().positive().max(1);

/** Every kind with its options; {@link scheduleSchema} also takes a bare kind. */
const schedules = [
  z.strictObject({ kind: z.literal('constant') }),
  /** Half a cosine down to zero. */
  z.strictObject({ kind: z.literal('cosine') }),
  /** × `factor` each time another `every` of the run is over: stairs, as EfficientNet's code has them. */
  z.strictObject({
    kind: z.literal('exponential'),
    factor: share.default(0.97),
    /** Share of the run; the default is EfficientNet's 2.4 of 350 epochs. */
    every: share.default(2.4 / 350),
  }),
  /** The peak is held, then the last `decay` of the run goes down to zero. */
  z.strictObject({
    kind: z.literal('warmup-stable-decay'),
    decay: share.default(0.2),
    shape: z.enum(['linear', '1-sqrt']).default('1-sqrt'),
  }),
] as const;

const kinds = ['constant', 'cosine', 'exponential', 'warmup-stable-decay'] as const;
const fullSchema = z.discriminatedUnion('kind', schedules);

/** How the learning rate moves after its warm-up, as plain data: `cosine`, or `{kind: exponential, factor: .97}`. */
export const scheduleSchema = z.union([z.enum(kinds).transform((kind) => fullSchema.parse({ kind })), fullSchema]);
export type Schedule = z.output<typeof fullSchema>;

/** What the learning rate follows; a recipe is one. */
export interface RateSettings {
  /** Peak. */
  readonly learningRate: number;
  /** Share of the run in which the rate rises linearly to its peak, 0–1, whatever follows. */
  readonly warmup: number;
  /** Cosine by default. */
  readonly schedule?: Schedule;
}

/**
 * Learning rate of one update. Lengths are shares of the run, so every schedule is complete within
 * `steps`; what ends at zero has its last update just above zero, and zero would be at `steps`.
 * @param step updates before this one, 0 … steps − 1; fractions where updates are of several sizes
 * @see Goyal et al. (2017) for the warm-up; Loshchilov & Hutter (2017), "SGDR", eq. 5 with one cycle;
 * Tan & Le (2019), section 5.2, for the exponential stairs, which we count from the first update, warm-up
 * included, as their code does; Hu et al. (2024), "MiniCPM", for warm-up–stable–decay, and Hägele et al.
 * (2024), "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", for its 1 − √x.
 */
export function learningRateAt({ learningRate, warmup, schedule }: RateSettings, step: number, steps: number): number {
  const warmupSteps = Math.round(warmup * steps);
  if (step < warmupSteps) return Math.min(learningRate, (learningRate * (step + 1)) / warmupSteps);
  return learningRate * shapeAt(schedule ?? { kind: 'cosine' }, { step, steps, warmupSteps });
}

/** Share of the peak, once warm. */
function shapeAt(
  schedule: Schedule,
  { step, steps, warmupSteps }: { readonly step: number; readonly steps: number; readonly warmupSteps: number },
): number {
  switch (schedule.kind) {
    case 'constant':
      return 1;
    case 'cosine':
      return (1 + Math.cos((Math.PI * (step - warmupSteps)) / (steps - warmupSteps))) / 2;
    case 'exponential':
      // A stair that begins at a whole step must not be missed by a rounding error.
      return schedule.factor ** Math.floor(step / (schedule.every * steps) + 1e-9);
    case 'warmup-stable-decay': {
      const start = Math.max(warmupSteps, steps - Math.round(schedule.decay * steps));
      if (step < start) return 1;
      const progress = (step - start) / (steps - start);
      return schedule.shape === 'linear' ? 1 - progress : 1 - Math.sqrt(progress);
    }
    default:
      return schedule satisfies never;
  }
}
