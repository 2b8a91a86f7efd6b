import { specDigest, type NetworkSpec } from '../../models/spec.ts';
import { identity } from '../../scaling/multipliers.ts';
import { relativeShape } from '../../scaling/relative-shape.ts';
import type { AccuracyObservation } from '../../scaling/surrogate.ts';
import type { StudyContext } from '../context.ts';
import { accuracyOf } from '../evaluation/evaluate.ts';

/**
 * What the search phase's trainings tell of the accuracy of scalings: other networks of the space, the base with other seeds,
 * each at the fidelity that it had. Later phases are left out: a resumed study holds trainings that its proposals
 * did not know.
 */
export function searchEvidence(context: StudyContext, base: NetworkSpec): readonly AccuracyObservation[] {
  const { record, config } = context;
  const { examples, seed } = { examples: config.scale.examples, seed: config.seed };
  const baseDigest = specDigest(base);
  const evidence: AccuracyObservation[] = [];
  for (const { id, phase, spec, specDigest: digest, fidelity } of record.eachTrial()) {
    const accuracy = phase === 'search' ? accuracyOf(context, id) : undefined;
    if (accuracy === undefined) continue;
    const isOther = digest !== baseDigest;
    // The base at the scaling fidelity is a scaling itself.
    if (!isOther && fidelity.examples === examples && fidelity.seed === seed) continue;
    const multipliers = isOther ? relativeShape(base, spec) : identity;
    evidence.push({ multipliers, accuracy, examplesRatio: fidelity.examples / examples, isOther });
  }
  return evidence;
}
