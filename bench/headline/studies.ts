import { resolveStudy, type StudyConfig } from '../../study/study-file.ts';

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

export const studyNames = ['searched', 'published', 'dwr'] as const;
export type StudyName = (typeof studyNames)[number];

/**
 * The studies whose lines are compared: `searched` finds a base and scales it by measured latency, and beside that by the
 * published rule; `published` takes EfficientNet-B0's stages as they are and scales them by that rule; `dwr` scales the same
 * stages by dWr, to the two larger sizes, since 1x is the base itself.
 * @param dataPath folder of CIFAR-10 records. @param here folder of the base's file.
 */
export function headlineStudies(
  dataPath: string,
  here: string,
  scale: Scale,
): Readonly<Record<StudyName, StudyConfig>> {
  const { finalExamples, proxyExamples, trials, seeds } = scale;
  const shared = {
    data: { format: 'cifar10', path: dataPath, holdout: 2000, testShare: 2000 },
    targets: { cpu: { device: 'cpu' } },
    family: { cpu: ['1x', '2x', '4x'] },
    latency: 'quick',
  };
  const searched = {
    ...shared,
    study: 'headline-searched',
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
  const published = {
    ...shared,
    study: 'headline-published',
    base: 'efficientnet-b0.yaml',
    search: { examples: proxyExamples },
    scale: { rule: publishedRule, examples: proxyExamples, finalists: 1 },
    final: { examples: finalExamples, seeds, baselines: [] },
  };
  const dwr = {
    ...published,
    study: 'headline-dwr',
    family: { cpu: ['2x', '4x'] },
    scale: { ...published.scale, rule: 'dWr' },
  };
  const place = `${here}/headline`;
  return {
    searched: resolveStudy(searched, place),
    published: resolveStudy(published, place),
    dwr: resolveStudy(dwr, place),
  };
}
