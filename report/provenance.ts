import type { StudySummary } from '../study/deliver/summary.ts';
import { grouped } from './format.ts';
import { element, type Markup } from './markup.ts';
import { definitions, section } from './page-parts.ts';

/** The data, and what the work was done on and with. */
export function provenanceSection({ data, environment }: Pick<StudySummary, 'data' | 'environment'>): Markup {
  const facts: readonly (readonly [string, string])[] = [
    ['name', data.name],
    ['classes', String(data.classes)],
    ['native size', data.native],
    ['train / hold-out / test', [data.train, data.holdout, data.test].map(grouped).join(' / ')],
    ['digest', data.digest],
  ];
  return section(
    'Data and environment',
    element(
      'div',
      { class: 'figures' },
      element('div', {}, element('h3', {}, 'Data set'), definitions(facts)),
      element('div', {}, element('h3', {}, 'Environment'), definitions(Object.entries(environment))),
    ),
  );
}
