import type { FactorySummary, FactoryTargetFamily, TriedScaling } from '../study/factory-summary.ts';
import { duration, grouped, percentNumber, plural, significant, utcMinute } from './format.ts';
import { targetSentence } from './headline.ts';
import { latencySection } from './latencies.ts';
import { type Content, element, type Markup } from './markup.ts';
import { multiplierSection } from './multipliers.ts';
import { page } from './page.ts';
import { definitions, note, section, table, warningSection } from './page-parts.ts';
import { provenanceSection } from './provenance.ts';
import { resultNotes, targetResult } from './target-result.ts';
import { xyChart } from './xy-chart.ts';

/**
 * The report of a family that a user's own programs wrote and trained: a page such as a study's, with what there is without a
 * spec. Links to delivered files are relative to its folder.
 */
export function renderFactoryReport(summary: FactorySummary): string {
  return page(
    `${summary.name}: Ridgepoint report`,
    pageHeader(summary),
    summary.targets.map((target) => targetResult(summary, target)),
    resultNotes(summary),
    scalingSection(summary),
    multiplierSection(summary),
    latencySection(summary),
    warningSection(summary.warnings),
    reproductionSection(summary),
    provenanceSection(summary),
  );
}

function pageHeader(summary: FactorySummary): Markup {
  const { name, createdMs, seed, families, warnings, activeS } = summary;
  const scalings = families.reduce((sum, family) => sum + family.scalings.length, 0);
  const facts = [
    `a factory’s base, ${name}`,
    utcMinute(createdMs),
    `seed ${seed}`,
    plural(scalings, 'scaling'),
    duration(activeS),
  ];
  const sentences = summary.targets.flatMap((target) => targetSentence(summary, target) ?? []);
  return element(
    'header',
    {},
    element(
      'p',
      { class: 'facts' },
      facts.join(' · '),
      warnings.length > 0 && [
        ' · ',
        element('a', { href: '#warnings', class: 'warn' }, plural(warnings.length, 'warning')),
      ],
    ),
    element(
      'h1',
      { class: sentences.length > 1 ? 'several' : null },
      (sentences.length > 0 ? sentences : ['Nothing was delivered.']).map((sentence) => element('span', {}, sentence)),
    ),
  );
}

/** Every scaling that the factory was asked for, and what came of those that were trained. */
function scalingSection({ families, examples }: FactorySummary): Markup {
  return section(
    'Scalings',
    note(
      `Networks that the factory was asked for. Those within a size were trained with ${plural(examples.scaling, 'example')}; the most accurate of each size ` +
        `was trained again with ${grouped(examples.final)} and delivered.`,
    ),
    families.map((family) => [
      families.length > 1 && element('h3', {}, family.target),
      element('div', { class: 'figures' }, trainedFigure(family), triedTable(family)),
    ]),
  );
}

function trainedFigure({ target, scalings }: FactoryTargetFamily): Content {
  const trained = scalings.flatMap(({ p50Ms, accuracy, multipliers }) =>
    p50Ms === null || accuracy === null ? [] : [{ p50Ms, accuracy, multipliers }],
  );
  const chart = xyChart(
    `Hold-out accuracy against latency of the scalings trained for ${target}`,
    { title: `p50 latency on ${target} of the untrained file (ms, log scale)`, log: true },
    { title: 'hold-out top-1 (%)', log: false, within: [0, 100] },
    [
      {
        name: 'trained scalings',
        kind: 'points',
        points: trained.map(({ p50Ms, accuracy }) => [p50Ms, 100 * accuracy]),
        titles: trained.map(
          ({ p50Ms, accuracy, multipliers }) =>
            `${multipliersText(multipliers)}: ${percentNumber(accuracy)} %, ${significant(p50Ms)} ms`,
        ),
      },
    ],
  );
  return chart && element('figure', {}, chart);
}

function triedTable({ scalings }: FactoryTargetFamily): Markup {
  const inOrder = scalings.toSorted((a, b) => (a.p50Ms ?? Infinity) - (b.p50Ms ?? Infinity));
  return table(
    ['d · w · r', 'px', 'p50 ms', 'hold-out top-1 %'],
    inOrder.map(({ multipliers, resolution, p50Ms, accuracy }) => [
      multipliersText(multipliers),
      String(resolution),
      p50Ms === null ? 'no such network' : significant(p50Ms),
      accuracy === null ? 'not trained' : percentNumber(accuracy),
    ]),
  );
}

function multipliersText({ depth, width, resolution }: TriedScaling['multipliers']): string {
  return [depth, width, resolution].map((value) => value.toFixed(2)).join(' · ');
}

/** What it takes to do it again: what was declared and asked for, and the files that came of it. */
function reproductionSection({ name, seed, examples, programs, families }: FactorySummary): Markup {
  const asked = { name, seed: String(seed), 'examples of a scaling': grouped(examples.scaling) };
  const final = { 'examples of a delivered network': grouped(examples.final) };
  const declared = Object.entries(programs).map(
    ([key, value]) => [declaredNames[key] ?? key, JSON.stringify(value)] as const,
  );
  return section(
    'To do it again',
    definitions([...Object.entries({ ...asked, ...final }), ...declared]),
    table(
      ['file', 'seed', 'px', 'SHA-256'],
      families.flatMap(({ members }) =>
        members.map(({ file, seed: own, resolution, digest }) => [
          file,
          String(own),
          String(resolution),
          digest.replace('sha256:', ''),
        ]),
      ),
    ),
    note(
      'What starts the programs is in the factory’s file, not here. Equal seeds give equal networks as far as the programs keep to them.',
    ),
  );
}

const declaredNames: Readonly<Record<string, string>> = {
  resolution: 'side of the base in pixels',
  resolutionMultiple: 'sides are multiples of',
  factory: 'params of the factory',
  trainer: 'params of the trainer',
};
