import type { z } from 'zod';
import type { networkSpecSchema, stageSchema } from '../spec.ts';

/** A stage as a person writes it: defaults may be left out. */
export type StageInput = z.input<typeof stageSchema>;

/** How a member of a family differs from the base; what is left out is the base's. */
export interface Member {
  /** Width multiplier, default 1. */
  readonly width?: number;
  /** Depth multiplier, default 1. */
  readonly depth?: number;
  /** Input side in pixels. */
  readonly resolution?: number;
  readonly dropout?: number;
  /** Squeeze ratio of every stage. */
  readonly squeezeExcite?: number;
  /** Stages in place of the scaled first one, each with its settings but these: where a release rounds differently. */
  readonly firstStage?: readonly Partial<StageInput>[];
}

/** One base and the networks scaled from it by the EfficientNet convention (scaling/apply.ts), by name. */
export interface Family {
  readonly base: z.input<typeof networkSpecSchema>;
  readonly members: Readonly<Record<string, Member>>;
}

/** ImageNet-1k, which the counts in the literature are for. */
export const imageNetClasses = 1000;
