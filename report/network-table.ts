import type { NetworkCount } from '../models/counts.ts';
import type { NetworkSpec, Stage } from '../models/spec.ts';
import { amount, optional } from './format.ts';
import type { Markup } from './markup.ts';
import { table } from './page-parts.ts';

/** A network part by part, with what each counts. */
export function networkTable(spec: NetworkSpec, count: NetworkCount): Markup {
  return table(
    ['part', 'what', 'params', 'MACs'],
    [
      ['stem', `${spec.stem.kernel}×${spec.stem.kernel}, stride ${spec.stem.stride}, width ${spec.stem.width}`],
      ...spec.stages.map((stage, index) => [`stage${index}`, stageText(stage)] as const),
      ['head', spec.head.width > 0 ? `1×1, width ${spec.head.width}` : 'none'],
      ['classifier', `${spec.classes} classes, input ${spec.input.resolution} px`],
    ].map(([part, what]) => [
      part as string,
      what as string,
      optional(count.groups[part as string]?.params, amount),
      optional(count.groups[part as string]?.macs, amount),
    ]),
  );
}

/** A stage with what is particular to its operator called as in the spec. */
function stageText({ operator, kernel, stride, width, repeats, activation, ...particular }: Stage): string {
  const told = Object.entries(particular).filter(
    ([key, value]) => value !== undefined && value !== 0 && !(key === 'skip' && value === true),
  );
  const parts = [
    `${repeats} × ${operator} ${kernel}×${kernel}`,
    `stride ${stride}`,
    `width ${width}`,
    ...told.map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`),
    activation,
  ];
  return parts.join(', ');
}
