import { ConfigError } from '../../core/errors.ts';
import { chinchilla } from './chinchilla.ts';
import { dataConstrained } from './data-constrained.ts';
import { approach1 } from './envelope.ts';
import { inferenceAwareConstants } from './inference-aware.ts';
import { informationBound } from './information-bound.ts';
import { approach2 } from './iso-flop.ts';
import { joint } from './joint.ts';
import { kaplan, kaplanAllocation } from './kaplan.ts';
import type { Constants, LossLaw } from './law.ts';
import type { PublishedPowerLaw } from './power-law.ts';
import { tied } from './tied.ts';

/** Every law of the loss, by name. */
export const lossLaws: ReadonlyMap<string, LossLaw> = new Map(
  [chinchilla, joint, tied, kaplan, dataConstrained, informationBound].map((law) => [law.name, law]),
);

/** The laws that runs of any kind are fitted with under `--law all`; the bound speaks of another quantity than the loss. */
export const fittableLaws: readonly LossLaw[] = [chinchilla, joint, tied, kaplan, dataConstrained];

/** A law of the loss with published constants. */
export interface PublishedLaw {
  readonly law: LossLaw;
  readonly constants: Constants;
}

/** Published constants by the name that `--law` calls them. */
export const publishedLaws: ReadonlyMap<string, PublishedLaw> = new Map(
  [
    ...[...lossLaws.values()].flatMap((law) => law.constants.map((constants) => ({ law, constants }))),
    { law: chinchilla, constants: inferenceAwareConstants },
  ].map((published) => [published.constants.name, published]),
);

/** Published allocation mappings that are power laws, by name. */
export const publishedPowerLaws: ReadonlyMap<string, PublishedPowerLaw> = new Map(
  [
    approach1,
    approach2,
    {
      name: 'kaplan',
      paramsCoefficient: kaplanAllocation.coefficient,
      paramsExponent: kaplanAllocation.exponent,
      // What 6·N·D = C leaves.
      dataCoefficient: 1 / (6 * kaplanAllocation.coefficient),
      dataExponent: 1 - kaplanAllocation.exponent,
      source: 'Kaplan et al. (2020), N = 1.3e9·C^.73, C in petaflop/s-days',
      confirmed: 'paper',
      paramsCount: 'non-embedding',
    } satisfies PublishedPowerLaw,
  ].map((law) => [law.name, law]),
);

/** The law of that name. @throws {ConfigError} naming those there are. */
export function lossLaw(name: string): LossLaw {
  const law = lossLaws.get(name);
  if (!law) throw new ConfigError(`expected a law (${[...lossLaws.keys()].join(', ')}), got '${name}'`);
  return law;
}
