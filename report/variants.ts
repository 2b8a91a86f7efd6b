import type { SpeedUp } from '../latency/speed-up.ts';
import type { FamilySummary, MemberSummary, TargetSummary, VariantSummary } from '../study/deliver/summary.ts';
import { percent, plural, signed, significant } from './format.ts';
import { element, type Content } from './markup.ts';

// A delivered network's other precisions, beside it.

/** A variant with what is known of its file. */
export type DeliveredVariant = VariantSummary & { readonly digest?: string; readonly bytes?: number };

/** A variant that there is, rather than the reason why there is none. */
export type MadeVariant = Extract<DeliveredVariant, { readonly file: string }>;

/** A row of a table of networks: a member, or one of its variants in the member's columns. */
export interface MemberRow {
  readonly kind: FamilySummary['kind'] | 'variant';
  readonly member: MemberSummary;
}

/** Members, each followed by the variants that were made of it. */
export function memberRows({ kind, members }: FamilySummary): readonly MemberRow[] {
  return members.flatMap((member) => [
    { kind, member },
    ...member.variants.flatMap((variant) =>
      'refusal' in variant ? [] : [{ kind: 'variant' as const, member: asMember(member, variant) }],
    ),
  ]);
}

/** Its counts are left out: they are the member's, but for the bytes. */
function asMember(member: MemberSummary, variant: MadeVariant): MemberSummary {
  const { precision, testAccuracy, holdoutAccuracy, latency, limitMet, file } = variant;
  const { freshAccuracy: _chosen, delivered, ...rest } = member;
  return {
    ...rest,
    size: `${member.size} ${precision}`,
    testAccuracy: { mean: testAccuracy, sd: null, values: [testAccuracy] },
    holdoutAccuracy: { mean: holdoutAccuracy, sd: null, values: [holdoutAccuracy] },
    delivered: delivered && { seed: delivered.seed, testAccuracy, holdoutAccuracy },
    count: null,
    latency,
    limitMet,
    file,
    variants: [],
  };
}

/** What became of a variant, in a line: its speed and accuracy beside the delivered file, or why there is none. */
export function variantText(variant: VariantSummary): string {
  if ('refusal' in variant) return `${variant.precision}: none: ${variant.refusal}`;
  const { precision, speedUp, accuracyChange, testAccuracy } = variant;
  return `${precision}: ${speedText(speedUp)}; ${percent(testAccuracy)} on test, ${signed(100 * accuracyChange)} points`;
}

/** How fast a file is beside the one it was made of. */
export function speedText({ ratio, verdict }: SpeedUp): string {
  if (verdict === 'alike') return 'as fast as the original, as far as measuring can tell';
  const times = significant(verdict === 'faster' ? ratio : 1 / ratio);
  return verdict === 'faster'
    ? `${times} times as fast as the original`
    : `slower: ${times} times as long as the original`;
}

/** What variants give and cost on a target, a line each; nothing where none was asked for. */
export function variantLines({ lines }: TargetSummary): readonly string[] {
  const members = lines.find(({ kind }) => kind === 'family')?.members ?? [];
  return members.flatMap(({ size, variants }) => variants.map((variant) => `${size} ${variantText(variant)}`));
}

/** The same under a table of the report. */
export function variantList(target: TargetSummary): Content {
  const lines = variantLines(target);
  if (lines.length === 0) return null;
  return element(
    'details',
    { open: true },
    element('summary', {}, plural(lines.length, 'variant')),
    element(
      'ul',
      { class: 'comparisons' },
      lines.map((line) => element('li', {}, line)),
    ),
  );
}
