import { type AuditedProxy, fewestWarned, type ProxyAudit } from '../study/search/proxy-audit.ts';
import { percent, percentNumber, plural, significant } from './format.ts';
import { type Content, element, type Markup } from './markup.ts';
import { note, section, table } from './page-parts.ts';
import {
  axes,
  type Box,
  chart,
  errorBar,
  group,
  label,
  linearScale,
  marker,
  segment,
  seriesStyle,
  textWidth,
} from './svg.ts';

/** What a study's own networks say of a proxy, in a few words. */
export function proxyVerdict({ networks, kendall }: AuditedProxy['quality']): string {
  const nothing = `${plural(networks, 'network')}: nothing can be said`;
  if (kendall === null) return 'the same for all';
  const { interval } = kendall;
  if (interval === null) return nothing;
  if (interval.lo > 0) return 'better than chance';
  if (interval.hi < 0) return 'the wrong way round';
  return networks < fewestWarned ? nothing : 'not told from chance';
}

function coefficient(value: number): string {
  return value.toFixed(2).replace('-', '−');
}

const columns = [
  'proxy',
  'networks',
  'Kendall’s τ',
  '95 %',
  'Spearman’s ρ',
  'top 1 loses',
  'top 3 loses',
  'verdict',
  'decided',
] as const;

/** The audit as rows of text under {@link columns}, by what the proxies stand for. */
export function auditTables({ proxies }: ProxyAudit): readonly {
  readonly truth: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}[] {
  const truths = [...new Set(proxies.map(({ truth }) => truth))];
  return truths.map((truth) => {
    const own = proxies.filter((one) => one.truth === truth);
    const hasRegrets = own.some(({ kind }) => kind === 'accuracy');
    const keep = (cells: readonly string[]) => cells.filter((_, at) => hasRegrets || (at !== 5 && at !== 6));
    return { truth, columns: keep(columns), rows: own.map((one) => keep(auditRow(one))) };
  });
}

function auditRow({ proxy, decided, quality }: AuditedProxy): string[] {
  const { networks, kendall, spearman, regrets } = quality;
  const interval = kendall?.interval;
  const regret = (chosen: number): string => {
    const found = regrets.find((one) => one.chosen === chosen);
    return found
      ? `${percentNumber(found.value)} (${percentNumber(found.lo)} to ${percentNumber(found.hi)}; chance ${percentNumber(found.chance)})`
      : '–';
  };
  return [
    proxy,
    String(networks),
    kendall ? coefficient(kendall.value) : '–',
    interval ? `${coefficient(interval.lo)} to ${coefficient(interval.hi)}` : '–',
    spearman ? coefficient(spearman.value) : '–',
    regret(1),
    regret(3),
    proxyVerdict(quality),
    decided ?? '–',
  ];
}

/** The audit's caveats as sentences. */
export function auditNotes({ seedSd, zeroCost }: ProxyAudit): readonly string[] {
  return [
    'How cheap stand-ins order this study’s own networks, beside what became of them. “Loses” are points of accuracy between the best ' +
      'network and the best of those that the proxy likes most (middle 95 % of resamples of the networks; expected of a random choice). ' +
      'One interval in twenty misses by chance alone, and networks chosen in a search are no random sample.',
    ...(seedSd === null
      ? []
      : [
          `Trainings of one network scatter by ${percentNumber(seedSd)} points (one standard deviation, over seeds), which bounds every correlation with accuracy and adds to every loss.`,
        ]),
    ...(zeroCost === null
      ? []
      : [
          `Zero-cost scores took ${significant(zeroCost.secondsPerNetwork)} s a network` +
            (zeroCost.shareOfTraining === null
              ? '.'
              : `, ${percent(zeroCost.shareOfTraining, 0)} of a training at the search’s fidelity.`),
        ]),
  ];
}

/** The report's section; nothing where no proxy was tried on networks enough for an interval. */
export function proxySection(audit: ProxyAudit): Content {
  if (audit.proxies.every(({ quality: { kendall } }) => !kendall?.interval)) return null;
  return section(
    'Proxies',
    auditNotes(audit).map(note),
    auditTables(audit).map(({ truth, columns, rows }) => {
      const plot = auditChart(
        audit.proxies.filter((one) => one.truth === truth),
        truth,
      );
      return element(
        'details',
        { open: plot !== null },
        element('summary', {}, truth),
        plot && element('div', { class: 'figures' }, element('figure', {}, plot)),
        table(columns, rows, { wrapping: true }),
      );
    }),
  );
}

const rowHeight = 22;

/** Kendall's τ of every proxy with its interval, one a row; filled where it decided. @returns null without intervals. */
export function auditChart(proxies: readonly AuditedProxy[], truth: string, width = 760): Markup | null {
  const rows = proxies.flatMap(({ proxy, decided, quality: { kendall } }) =>
    kendall?.interval ? [{ proxy, decided, value: kendall.value, ...kendall.interval }] : [],
  );
  if (rows.length === 0) return null;
  const left = Math.min(240, 20 + Math.max(...rows.map(({ proxy }) => textWidth(proxy))));
  const plot: Box = { left, top: 8, right: width - 14, bottom: 8 + rows.length * rowHeight };
  const x = linearScale([-1, 1], [plot.left, plot.right], { count: 8 });
  const drawn = rows.map(({ proxy, decided, value, lo, hi }, index) => {
    const y = plot.top + (index + 0.5) * rowHeight;
    const style = seriesStyle(decided === null ? 0 : 1);
    const title = `${proxy}: τ ${coefficient(value)}, ${coefficient(lo)} to ${coefficient(hi)}${decided === null ? '' : `; decided ${decided}`}`;
    return [
      label(plot.left - 8, y + 4, proxy, { anchor: 'end' }),
      errorBar(x.at(lo), y, x.at(hi), y, style.color),
      marker(x.at(value), y, style, title, { hollow: decided === null }),
    ];
  });
  return chart(
    width,
    plot.bottom + 44,
    `Rank correlation of proxies with ${truth}`,
    segment(x.at(0), plot.top, x.at(0), plot.bottom, { class: 'grid' }),
    axes(plot, { scale: x, title: 'Kendall’s τ, 95 %; square: it decided in this study' }, null),
    group({}, drawn),
  );
}
