import { settingText } from '../latency/setting.ts';
import type { Latency } from '../latency/latency.ts';
import type { MemberSummary, StudySummary, TargetSummary } from '../study/deliver/summary.ts';
import { milliseconds } from './format.ts';
import type { Content } from './markup.ts';
import { note, section, table } from './page-parts.ts';

/** A target's batch, and precisions where there are several: `batch 1`, `batch 1, 8 or 32, fp32 or fp16`. */
export function targetSettingText({ batch, settings }: Pick<TargetSummary, 'batch' | 'settings'>): string {
  const batches = [...new Set(settings.map((setting) => setting.batch))];
  const precisions = [...new Set(settings.map((setting) => setting.precision))];
  return [
    `batch ${either(batches.length > 0 ? batches : [batch])}`,
    ...(precisions.length > 1 ? [either(precisions)] : []),
  ].join(', ');
}

function either(values: readonly (number | string)[]): string {
  return values.length > 1 ? `${values.slice(0, -1).join(', ')} or ${values.at(-1)}` : String(values[0]);
}

/** Whether a target's latencies are of one example: its networks run at different batches. */
export function isPerExample({ settings }: Pick<TargetSummary, 'settings'>): boolean {
  return new Set(settings.map(({ batch }) => batch)).size > 1;
}

/** Title of what shows a target's latencies, without their unit: whether they were predicted, and whether they are of one example. */
export function p50Title(target: Pick<TargetSummary, 'settings' | 'predictedBy'>): string {
  return `${target.predictedBy ? 'predicted ' : ''}p50 latency${isPerExample(target) ? ' an example' : ''}`;
}

/** What a target's latencies are the time of. */
export function timedText(target: Pick<TargetSummary, 'settings'>): string {
  return isPerExample(target) ? 'an example' : 'one run';
}

/** A member's batch and precision in brief, where its target had a choice: `b8 fp16`. */
export function memberSettingText(
  { settings }: Pick<TargetSummary, 'settings'>,
  { latency: { batch, precision } }: Pick<MemberSummary, 'latency'>,
): string | null {
  return settings.length === 0 ? null : `b${batch} ${precision}`;
}

type Tried = NonNullable<Latency['chosenFrom']>[number];

/** What a setting took: time an example, and of a run; or why it was not used. */
function triedText({ batch, p50Ms, runMs, refusal }: Tried): string {
  if (p50Ms === null || runMs === null) return refusal ?? 'not measured';
  return `${milliseconds(p50Ms / batch)} (run ${milliseconds(runMs)})`;
}

/** Which batch and precision each delivered network runs at, and what the others took; nothing without a choice. */
export function settingsSection({ targets }: StudySummary): Content {
  const blocks = targets.flatMap((target) => {
    const members = target.lines.find(({ kind }) => kind === 'family')?.members ?? [];
    if (target.settings.length === 0 || members.length === 0) return [];
    const rows = members.map((member) => [
      member.size,
      settingText(member.latency),
      ...target.settings.map((setting) => {
        const tried = member.chosenFrom.find(
          ({ batch, precision }) => batch === setting.batch && precision === setting.precision,
        );
        return tried ? triedText(tried) : '–';
      }),
    ]);
    return [table([`${target.name}: size`, 'runs at', ...target.settings.map(settingText)], rows)];
  });
  if (blocks.length === 0) return null;
  return section(
    'Batch and precision',
    blocks,
    note(
      'Time an example, of a search’s measurement. Of the settings whose run is within the target’s limit the one is taken that needs least ' +
        'time an example; a run is the limit’s percentile where there is a limit, else the median.',
    ),
  );
}
