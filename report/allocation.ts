import { evenText } from '../study/train/allocate-phase.ts';
import type { AllocatedSize, AllocationSummary, StudySummary } from '../study/deliver/summary.ts';
import { amount, duration, grouped, percentNumber, plural, significant } from './format.ts';
import type { Content } from './markup.ts';
import { note, section, table } from './page-parts.ts';

// How a budget was divided over the family, and whether the law that divided it foretold what came of it.

/** Reached ÷ expected loss − 1; null while one of them is not known. */
function excessOf({ forecast, reached }: AllocatedSize): number | null {
  return forecast && reached !== null ? reached / forecast.crossEntropy - 1 : null;
}

/** How near the law came: mean error, and how many sizes ended within their intervals; null where nothing tells. */
export function forecastText({ sizes }: AllocationSummary): string | null {
  const judged = sizes.flatMap((size) => {
    const excess = excessOf(size);
    const { forecast, reached } = size;
    return excess === null || !forecast || reached === null
      ? []
      : [{ error: Math.abs(excess), within: reached >= forecast.lo && reached <= forecast.hi }];
  });
  if (judged.length === 0) return null;
  const error = judged.reduce((sum, size) => sum + size.error, 0) / judged.length;
  const within = judged.filter((size) => size.within).length;
  return `the law's losses were ${percentNumber(error)} % off; ${within} of ${plural(judged.length, 'size')} ended within the interval`;
}

/** How a budget was divided, in a sentence without its full stop. */
export function divisionText({ law, problem, because, sizes }: AllocationSummary): string {
  if (!law) return problem === null ? because : `${evenText(problem)} (${because})`;
  const gain = law.expected.even - law.expected.law;
  if (new Set(sizes.map(({ examples }) => examples)).size <= 1) return `${because}, which gives all sizes the same`;
  return `${because}; expected to take ${significant(gain, 2)} nats off the sum of the family's losses, against the same examples for all`;
}

const columns = ['size', 'examples', 'passes', 'FLOPs', 'time', 'expected loss', '95 %', 'reached', 'off by'] as const;

function loss(value: number): string {
  return significant(value, 4);
}

/** A size as text under {@link columns}; of several targets with the target's name. */
function rowOf(size: AllocatedSize, several: boolean): readonly string[] {
  const { target, size: name, examples, passes, flops, seconds, forecast, reached } = size;
  const excess = excessOf(size);
  return [
    several ? `${target} ${name}` : name,
    grouped(examples),
    significant(passes),
    amount(flops),
    seconds === null ? '–' : duration(seconds),
    forecast ? loss(forecast.crossEntropy) : '–',
    forecast ? `${loss(forecast.lo)}–${loss(forecast.hi)}` : '–',
    reached === null ? '–' : loss(reached),
    excess === null ? '–' : `${excess < 0 ? '−' : '+'}${percentNumber(Math.abs(excess))} %`,
  ];
}

/** The report's part on the division of the budget; nothing without one. */
export function allocationSection({ allocation, targets }: StudySummary): Content {
  if (!allocation) return null;
  const { sizes, law } = allocation;
  const foretold = forecastText(allocation);
  const values = law && Object.entries(law.values).map(([name, value]) => `${name} ${significant(value, 4)}`);
  return section(
    'Training budget',
    note(`${capitalised(divisionText(allocation))}.`),
    table(
      columns,
      sizes.map((size) => rowOf(size, targets.length > 1)),
    ),
    law &&
      note(
        `The law, ${law.name}: ${values?.join(', ')}; N in units of ${amount(law.unitMacs)} multiply-adds an example, D in examples, repeats discounted. ` +
          `It is off by ${percentNumber(law.meanError)} % on its ${plural(law.trials, 'trial')}.`,
      ),
    foretold &&
      note(
        `${capitalised(foretold)}. Loss is hold-out cross-entropy in nats of each size's likeliest network, mean over seeds; time is of one training.`,
      ),
  );
}

/** The same for a terminal, a line a size, these indented. */
export function allocationLines({ allocation, targets }: StudySummary): readonly string[] {
  if (!allocation) return [];
  const { sizes } = allocation;
  const lines = sizes.map((size) => {
    const [name, examples, , , time, expected, , reached] = rowOf(size, targets.length > 1);
    const losses = size.forecast
      ? `, loss ${expected} expected${size.reached === null ? '' : `, ${reached} reached`}`
      : '';
    return `  ${name}  ${examples} examples, ${time} each${losses}`;
  });
  const foretold = forecastText(allocation);
  return [`training budget: ${divisionText(allocation)}`, ...lines, ...(foretold ? [foretold] : [])];
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
