import { resolveStudy } from '../../study/resolve-study.ts';
import type { StudyConfig } from '../../study/study-file.ts';

/** The rule of EfficientNet (Tan & Le 2019): depth 1.2, width 1.1, resolution 1.15, all to the power φ. */
export const publishedRule = '1.2/1.1/1.15';

/** How long everything is trained; the same for every line. */
export interface Scale {
  /** Of a delivered network; 160,000 are ten passes over the training split. */
  readonly finalExamples: number;
  /** Of a candidate while a base or a scaling is looked for; two thirds of the bases are left after a quarter of it. */
  readonly proxyExamples: number;
  /** Bases that are tried. */
  readonly trials: number;
  readonly seeds: number;
}

/** A study a size where the sizes do not depend on one another: each takes an hour or less, and can be run in another one. */
const ruled = {
  'published-1x': { size: '1x', rule: publishedRule },
  'published-2x': { size: '2x', rule: publishedRule },
  'published-4x': { size: '4x', rule: publishedRule },
  'dwr-2x': { size: '2x', rule: 'dWr' },
  'dwr-4x': { size: '4x', rule: 'dWr' },
} as const;

export type StudyName = 'searched' | keyof typeof ruled;
export const studyNames: readonly StudyName[] = ['searched', ...(Object.keys(ruled) as (keyof typeof ruled)[])];

/**
 * The studies whose networks are compared: `searched` finds a base and scales it by measured latency, and beside that by the
 * published rule; `published-…` take EfficientNet-B0's stages as they are and scale them by that rule; `dwr-…` scale the same
 * stages by dWr, without 1x, which is the base itself.
 * @param dataPath folder of CIFAR-10 records. @param here folder of the base's file.
 */
export function headlineStudy(name: StudyName, dataPath: string, here: string, scale: Scale): StudyConfig {
  const { finalExamples, proxyExamples, trials, seeds } = scale;
  const shared = {
    data: { format: 'cifar10', path: dataPath, holdout: 2000, testShare: 2000 },
    targets: { cpu: { device: 'cpu' } },
    latency: 'quick',
    study: `headline-${name}`,
  };
  const place = `${here}/headline`;
  if (name !== 'searched') {
    const { size, rule } = ruled[name];
    const study = {
      ...shared,
      base: 'efficientnet-b0.yaml',
      family: { cpu: [size] },
      search: { examples: proxyExamples },
      scale: { rule, examples: proxyExamples, finalists: 1 },
      final: { examples: finalExamples, seeds, baselines: [] },
    };
    return resolveStudy(study, place);
  }
  const study = {
    ...shared,
    family: { cpu: ['1x', '2x', '4x'] },
    search: {
      space: 'efficientnet-x',
      scale: 'small',
      trials,
      round: 6,
      examples: [Math.round(proxyExamples / 4), proxyExamples],
      finalists: 3,
      seeds: 3,
    },
    scale: { trials: 6, round: 2, examples: proxyExamples, finalists: 2, seeds: 2 },
    final: { examples: finalExamples, seeds, baselines: [{ rule: publishedRule }] },
  };
  return resolveStudy(study, place);
}
