import { limitDoubt } from '../latency/setting.ts';
import type { AcrossTargets, SharedMemberSummary, SharedOnTarget, StudySummary } from '../study/deliver/summary.ts';
import { amount, percentNumber, plural, signed, significant } from './format.ts';
import { element, type Content } from './markup.ts';
import { accuracyText, cell, fileLink, note, seedsTitle, section, table, tableHead } from './page-parts.ts';

/** The family that all targets share, and what one target's choice costs on another; nothing with one target. */
export function acrossTargetsSection({ acrossTargets, targets }: StudySummary): Content {
  if (!acrossTargets || (acrossTargets.networks === 0 && acrossTargets.shared.length === 0)) return null;
  return section(
    'One family for all targets',
    sharedTable(acrossTargets),
    acrossTargets.shared.length > 0 &&
      note(
        'At each size the network that is least bad on all targets, of those trained for any of them and never slower than the ' +
          'size on each. Regret: hold-out points lost against the best of them within that target’s size. Beside it: test points ' +
          'against that target’s own family.',
      ),
    acrossTargets.unshared.length > 0 &&
      note(`No network that was trained is within ${acrossTargets.unshared.join(', ')} on every target.`),
    transferTable(
      acrossTargets,
      targets.map(({ name }) => name),
    ),
  );
}

function sharedTable({ shared }: AcrossTargets): Content {
  if (shared.length === 0) return null;
  const names = shared[0]?.targets.map(({ target }) => target) ?? [];
  const header = ['size', 'test top-1 %', ...names.map((name) => `${name}: p50 ms, regret`), 'params', 'file'];
  return element(
    'div',
    { class: 'scroll' },
    element('table', {}, tableHead(header), element('tbody', {}, shared.map(sharedRow))),
  );
}

function sharedRow({ name, testAccuracy, targets, count, files }: SharedMemberSummary): Content {
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }, name),
    cell(accuracyText(testAccuracy), seedsTitle(testAccuracy)),
    targets.map((one) => {
      const against = ownDifferencePoints(testAccuracy.mean, one);
      return element(
        'td',
        {
          class: one.limitMet === false || one.limitMet === 'unknown' ? 'bad' : null,
          title:
            one.limitMet === false ? 'misses the limit' : one.limitMet === 'unknown' ? limitDoubt(one.latency) : null,
        },
        `${significant(one.latency.p50Ms)}, ${percentNumber(one.regret)}`,
        against !== null && element('small', {}, ` ${signed(against)} to its own ${one.size}`),
      );
    }),
    cell(amount(count.params)),
    element(
      'td',
      {},
      files.map((file) => [fileLink(file), ' ']),
    ),
  );
}

/** Test points above a target's own member of the size; null where it has none. */
export function ownDifferencePoints(testAccuracy: number, { ownTestAccuracy }: SharedOnTarget): number | null {
  return ownTestAccuracy === null ? null : 100 * (testAccuracy - ownTestAccuracy);
}

function transferTable({ transfer, networks, fronts }: AcrossTargets, names: readonly string[]): Content {
  if (transfer.length === 0) return null;
  const rows = transfer.map((row, from) => [
    `${names[from] ?? ''} (${fronts[names[from] ?? '']?.length ?? 0})`,
    ...row.map(({ overlap, meanLoss, worstLoss, slowdown }, to) =>
      from === to
        ? '–'
        : `${overlap.toFixed(2)} · ${percentNumber(meanLoss)} (${percentNumber(worstLoss)}) · ×${slowdown.toFixed(2)}`,
    ),
  ]);
  return [
    element('h3', {}, 'One target’s front on another'),
    table(['front of', ...names.map((name) => `on ${name}`)], rows),
    note(
      `Of ${plural(networks, 'search trial')}, fronts of accuracy against one target’s latency (their size in brackets): how far two ` +
        'fronts are the same networks, mean (and worst) points of hold-out accuracy lost against the other’s own front at equal ' +
        'latency, and how many times longer for equal accuracy.',
    ),
  ];
}
