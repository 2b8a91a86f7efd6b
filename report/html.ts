import type { StudySummary } from '../study/deliver/summary.ts';
import { acrossTargetsSection } from './across-targets.ts';
import { allocationSection } from './allocation.ts';
import { curvesSection } from './curves.ts';
import { duration, plural, utcMinute } from './format.ts';
import { headline } from './headline.ts';
import { latencySection } from './latencies.ts';
import { element, type Markup } from './markup.ts';
import { multiplierSection } from './multipliers.ts';
import { page } from './page.ts';
import { warningSection } from './page-parts.ts';
import { predictionSection } from './prediction.ts';
import { provenanceSection } from './provenance.ts';
import { proxySection } from './proxy-audit.ts';
import { searchSection } from './search.ts';
import { settingsSection } from './settings.ts';
import { resultNotes, targetResult } from './target-result.ts';
import { deviceHoursText } from './terminal.ts';
import { timeSection } from './time.ts';
import { trialSection } from './trials.ts';

/**
 * The study's report: one HTML file that needs no network and no script. The first screen holds
 * the result in a sentence, a table and a plot for each target; below it what led there. Links
 * to delivered files are relative to the study's folder, where the report lies. A study that is
 * not finished renders with what exists.
 */
export function renderReport(summary: StudySummary): string {
  return page(
    `${summary.name}: Ridgepoint report`,
    pageHeader(summary),
    summary.targets.map((target) => targetResult(summary, target)),
    resultNotes(summary),
    acrossTargetsSection(summary),
    settingsSection(summary),
    searchSection(summary),
    multiplierSection(summary),
    allocationSection(summary),
    curvesSection(summary),
    latencySection(summary),
    predictionSection(summary),
    proxySection(summary.proxyAudit),
    timeSection(summary),
    warningSection(summary.warnings),
    provenanceSection(summary),
    trialSection(summary),
  );
}

function pageHeader(summary: StudySummary): Markup {
  const sentences = headline(summary);
  const facts = [
    `study ${summary.name}`,
    utcMinute(summary.createdMs),
    `seed ${summary.seed}`,
    ...(summary.schedule === null ? [] : [`trained by the schedule ${summary.schedule}`]),
    plural(summary.trials.length, 'trial'),
    `${duration(summary.activeS)}${deviceHoursText(summary)}`,
  ];
  const warnings = summary.warnings.length;
  return element(
    'header',
    {},
    element(
      'p',
      { class: 'facts' },
      facts.join(' · '),
      warnings > 0 && [' · ', element('a', { href: '#warnings', class: 'warn' }, plural(warnings, 'warning'))],
      !summary.finished && [' · ', element('span', { class: 'warn' }, 'not finished')],
    ),
    // One target: its sentence is the title. Several: a line each.
    element(
      'h1',
      { class: sentences.length > 1 ? 'several' : null },
      (sentences.length > 0 ? sentences : ['Nothing was delivered.']).map((sentence) => element('span', {}, sentence)),
    ),
  );
}
