import { hasBatches } from '../study/study-file.ts';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { trainingAttempts } from '../commands/trainer.ts';
import { shortDigest } from '../core/digest.ts';
import { curvesChart } from '../report/curves.ts';
import { amount, byteSize, duration, grouped, percent, plural, significant } from '../report/format.ts';
import { latencyChart } from '../report/latencies.ts';
import { element, type Content, type Markup } from '../report/markup.ts';
import { networkTable } from '../report/network-table.ts';
import { sourceText, verdictText } from '../report/source.ts';
import { trainingsFolder } from '../study/evaluation/command-evaluator.ts';
import { countSpec } from '../study/evaluation/evaluate.ts';
import type { EventOf, JournalEvent } from '../study/journal/events.ts';
import { explainTrial } from '../study/explain.ts';
import { journalPath } from '../study/journal/journal.ts';
import { readLines } from '../study/journal/journal-tail.ts';
import { dataTable, facts, livePart, note, type Page, studyPath } from './layout.ts';
import { networkDrawing } from './network-drawing.ts';
import type { FollowedStudy } from './runs.ts';
import { statusMark } from './study-page.ts';
import type { TrialRow } from './trial-row.ts';

/** One trial: its network, why it was proposed, what came out. Undefined when the study has none of that id. */
export async function trialPage(study: FollowedStudy, id: string): Promise<Page | undefined> {
  const { view, name } = study;
  const row = view.trial(id);
  if (!row) return undefined;
  let own: readonly JournalEvent[];
  try {
    own = (await readLines(journalPath(study.folder), view.places(id))).map(({ event }) => event);
  } catch (error) {
    const problem = element('p', { class: 'problem', role: 'alert' }, (error as Error).message);
    return { title: `${id} of ${name}`, body: [element('h1', {}, id), problem] };
  }
  const issued = own.find((event) => event.type === 'issued' && event.id === id);
  if (issued?.type !== 'issued') return undefined;
  const events = [...own, ...view.kept.filter(({ seq }) => !own.some((event) => event.seq === seq))];
  const { text } = explainTrial(
    events.toSorted((a, b) => a.seq - b.seq),
    id,
  );
  return {
    title: `${id} of ${name}`,
    live: { events: studyPath(name, 'events'), version: study.version },
    body: [
      headPart(study, row, view.front.has(id)),
      networkPart(issued),
      livePart(
        'why',
        {},
        element('h2', {}, 'Why, and what became of it'),
        element('pre', { class: 'wrapped', tabindex: 0 }, text),
      ),
      trainingPart(id, own),
      latencyPart(own),
      await logPart(study, row),
    ],
  };
}

function headPart({ view, name }: FollowedStudy, row: TrialRow, onFront: boolean): Markup {
  const { id, status, phase, accuracy, examples, seed, trainS, target, size } = row;
  const perExample = (on: string): boolean => {
    const asked = view.config?.targets[on];
    return asked !== undefined && hasBatches(asked);
  };
  const all = view.trials;
  const index = all.indexOf(row);
  const neighbour = (at: number, text: (other: string) => string): Content => {
    const other = all[at];
    return other && element('li', {}, element('a', { href: studyPath(name, 'trials', other.id) }, text(other.id)));
  };
  return livePart(
    'head',
    {},
    element(
      'ul',
      { class: 'links' },
      element('li', {}, element('a', { href: studyPath(name) }, `study ${name}`)),
      index > 0 && neighbour(index - 1, (other) => `← ${other}`),
      neighbour(index + 1, (other) => `${other} →`),
    ),
    element('h1', {}, id, statusMark(status), onFront && element('span', { class: 'mark' }, '★ on the Pareto front')),
    row.reason !== undefined && element('p', { class: status === 'failed' ? 'problem' : 'note' }, row.reason),
    facts([
      ['phase', [phase, target !== undefined && element('small', {}, ` ${target} ${size ?? ''}`)]],
      ['hold-out top-1', accuracy === undefined ? '–' : percent(accuracy)],
      ...Object.entries(row.latencyMs).map(
        ([on, ms]) => [`p50 on ${on}`, `${significant(ms)} ms${perExample(on) ? ' an example' : ''}`] as const,
      ),
      ['examples', grouped(examples)],
      ['seed', String(seed)],
      ['trained for', trainS === undefined ? '–' : duration(trainS)],
    ]),
  );
}

function networkPart({ spec, specDigest }: EventOf<'issued'>): Markup {
  const count = countSpec(spec);
  return livePart(
    'network',
    {},
    element('h2', {}, 'Network'),
    note(
      `${spec.input.channels} × ${spec.input.resolution} × ${spec.input.resolution} in, ${spec.classes} classes out; ` +
        `${amount(count.params)} params, ${amount(count.macs)} MACs, ${byteSize(count.peakBytes)} of activations at most; ${shortDigest(specDigest)}`,
    ),
    element('figure', { tabindex: 0, class: 'network wide' }, networkDrawing(spec)),
    element('details', { id: 'parts' }, element('summary', {}, 'Part by part'), networkTable(spec, count)),
    element(
      'details',
      { id: 'spec' },
      element('summary', {}, 'As data'),
      element('pre', { tabindex: 0 }, JSON.stringify(spec, null, 2)),
    ),
  );
}

function trainingPart(id: string, events: readonly JournalEvent[]): Content {
  const outcome = events.findLast((event) => event.type === 'outcome' && event.id === id);
  if (outcome?.type !== 'outcome' || outcome.outcome.status !== 'ok') return null;
  const { curve, metrics, cost } = outcome.outcome;
  const charts = (['loss', 'accuracy'] as const).flatMap(
    (quantity) => curvesChart([{ size: id, ...(curve ? { curve } : {}) }], quantity) ?? [],
  );
  const speed = cost.imagesPerS === undefined ? '' : `, ${grouped(cost.imagesPerS)} images/s`;
  return livePart(
    'training',
    {},
    element('h2', {}, 'Training'),
    note(`${duration(cost.trainS)}${speed}, ${byteSize(cost.peakRssBytes)} of memory at most.`),
    element(
      'div',
      { class: 'figures' },
      charts.map((figure) => element('figure', { tabindex: 0 }, figure)),
    ),
    element(
      'details',
      { id: 'metrics' },
      element('summary', {}, 'Every metric'),
      dataTable(
        'Metrics',
        ['metric', 'value'],
        Object.entries(metrics).map(([metric, value]) => [metric, significant(value, 5)]),
      ),
    ),
  );
}

function latencyPart(events: readonly JournalEvent[]): Content {
  const measured = events.flatMap((event) => (event.type === 'measured' ? [event] : []));
  if (measured.length === 0) return null;
  const figure = latencyChart(measured.map(({ target, latency }) => ({ size: target, latency })));
  return livePart(
    'latency',
    {},
    element('h2', {}, 'Latency'),
    figure && element('figure', { tabindex: 0, class: 'wide' }, figure),
    dataTable(
      'Latency',
      ['target', 'p50 ms', 'interval ms', 'p90 ms', 'p99 ms', 'sessions', 'runs', 'source', 'verdict'],
      measured.map(({ target, latency }) => [
        latency.per === 'example' ? [target, element('small', {}, ' an example')] : target,
        significant(latency.p50Ms),
        `${significant(latency.intervalMs.lo)}–${significant(latency.intervalMs.hi)} (p${latency.intervalMs.percentile}, ${percent(latency.intervalMs.level, 0)})`,
        significant(latency.p90Ms),
        latency.p99Ms === null ? '–' : significant(latency.p99Ms),
        String(latency.sessions),
        grouped(latency.samples),
        sourceText(latency),
        element(
          'span',
          { class: latency.source === 'predicted' ? null : latency.stable ? 'good' : 'bad' },
          verdictText(latency),
        ),
      ]),
    ),
  );
}

/** Paths of the logs that training programs of the user's own left, by attempt. */
export async function logsOf({ folder }: FollowedStudy, row: TrialRow): Promise<ReadonlyMap<string, string>> {
  const attempts = trainingAttempts(trainingsFolder(folder), row);
  if (!existsSync(attempts)) return new Map();
  const names = await readdir(attempts);
  const found = names.toSorted().map((attempt) => [attempt, join(attempts, attempt, 'log.txt')] as const);
  return new Map(found.filter(([, path]) => existsSync(path)));
}

async function logPart(study: FollowedStudy, row: TrialRow): Promise<Content> {
  const logs = await logsOf(study, row);
  if (logs.size === 0) return null;
  return livePart(
    'logs',
    {},
    element('h2', {}, 'Logs'),
    note(`${plural(logs.size, 'attempt')} by a program of your own.`),
    element(
      'ul',
      { class: 'links' },
      [...logs.keys()].map((attempt) =>
        element(
          'li',
          {},
          element('a', { href: studyPath(study.name, 'trials', row.id, 'logs', attempt) }, `attempt ${attempt}`),
        ),
      ),
    ),
  );
}
