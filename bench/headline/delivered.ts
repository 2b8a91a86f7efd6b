import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { networkSpecSchema } from '../../models/spec.ts';
import type { StudySummary } from '../../study/deliver/summary.ts';
import type { Scale, StudyName } from './studies.ts';

const memberSchema = z.strictObject({
  size: z.string(),
  /** Depth · width · resolution, relative to the base. */
  multipliers: z.string(),
  spec: networkSpecSchema,
  /** Multiply-adds of one picture. */
  macs: z.number(),
  params: z.number(),
  /** Test accuracies, 0–1, one a training seed. */
  accuracies: z.array(z.number()).min(1),
});

const deliveredSchema = z.strictObject({
  scale: z.strictObject({
    finalExamples: z.number(),
    proxyExamples: z.number(),
    trials: z.number(),
    seeds: z.number(),
  }) satisfies z.ZodType<Scale>,
  /** Pictures of each split, and the digest of all of them. */
  data: z.strictObject({ train: z.number(), holdout: z.number(), test: z.number(), digest: z.string() }),
  activeS: z.number(),
  /** Of the host that trained. */
  environment: z.record(z.string(), z.string()),
  /** Its own family, and the same base by another rule where it has one. */
  lines: z.strictObject({ family: z.array(memberSchema), rule: z.array(memberSchema) }),
});

/** What a study of the headline delivered, without latencies: these are of one host and hour, and measured together at the end. */
export type Delivered = z.output<typeof deliveredSchema>;
export type DeliveredMember = z.output<typeof memberSchema>;

/** What a finished study delivered. */
export function deliveredBy({ targets, data, activeS, environment }: StudySummary, scale: Scale): Delivered {
  const membersOf = (kind: 'family' | 'rule'): DeliveredMember[] =>
    (targets[0]?.lines.find((line) => line.kind === kind)?.members ?? []).flatMap((member) => {
      const { size, spec, count, testAccuracy } = member;
      if (!spec || !count) return [];
      const { depth = 1, width = 1, resolution = 1 } = member.multipliers ?? {};
      const multipliers = [depth, width, resolution].map((multiplier) => multiplier.toFixed(2)).join(' · ');
      const { macs, params } = count;
      return [{ size, multipliers, spec, macs, params, accuracies: [...testAccuracy.values] }];
    });
  const { train, holdout, test, digest } = data;
  return {
    scale,
    data: { train, holdout, test, digest },
    activeS,
    environment,
    lines: { family: membersOf('family'), rule: membersOf('rule') },
  };
}

/**
 * What this study delivered when it last ran, as the repository keeps it; null when it never did, or at another scale.
 * @throws {z.ZodError} when the file is not what `keep` writes.
 */
export function kept(study: StudyName, scale?: Scale): Delivered | null {
  const file = fileOf(study);
  if (!existsSync(file)) return null;
  const delivered = deliveredSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const keys = Object.keys(scale ?? {}) as (keyof Scale)[];
  return keys.every((key) => delivered.scale[key] === scale?.[key]) ? delivered : null;
}

/** Keeps it beside the bench. */
export function keep(study: StudyName, delivered: Delivered): void {
  mkdirSync(dirname(fileOf(study)), { recursive: true });
  writeFileSync(fileOf(study), `${JSON.stringify(deliveredSchema.parse(delivered), null, 1)}\n`);
}

function fileOf(study: StudyName): string {
  return fileURLToPath(new URL(`delivered/${study}.json`, import.meta.url));
}
