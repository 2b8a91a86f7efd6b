import { buildNetwork } from '../models/build.ts';
import type { NetworkSpec } from '../models/spec.ts';
import type { Content, Markup } from '../report/markup.ts';
import { bar, chart, group, label, legend, segment, seriesStyle, textWidth } from '../report/svg.ts';

/** One box of a drawing: a block, with the side of what comes out of it. */
interface DrawnBlock {
  /** Index of its stage; -1 for the stem, the number of stages for the head. */
  readonly part: number;
  readonly operator: string;
  /** Pixels of a side of its output. */
  readonly side: number;
  /** Channels of its output. */
  readonly width: number;
  readonly title: string;
}

/** The blocks of a network in order, with the sizes that come out of them in its graph. */
export function blocksOf(spec: NetworkSpec): readonly DrawnBlock[] {
  const { nodes, tensors } = buildNetwork(spec, 1);
  const outputs = new Map<string, readonly number[]>();
  for (const {
    name,
    outputs: [output = ''],
  } of nodes) {
    const block = /^(stem|stage\d+\.block\d+|head\.conv\b)/.exec(name)?.[1];
    if (block !== undefined) outputs.set(block, (tensors.get(output)?.shape ?? []).map(Number));
  }
  return [...outputs].map(([name, [, width = 0, side = 0]]) => {
    const index = /^stage(\d+)/.exec(name)?.[1];
    const part = index === undefined ? (name === 'stem' ? -1 : spec.stages.length) : Number(index);
    const stage = spec.stages[part];
    return { part, side, width, operator: stage?.operator ?? name.slice(0, 4), title: name.replace('.', ' ') };
  });
}

const [drawingWidth, margin, tallest] = [860, 52, 120];
/** Between the blocks of two parts, in pixels. */
const [leastGap, mostGap] = [14, 76];

/**
 * A network as a row of blocks: a box for each, as tall as its output's side (by square root), coloured by operator;
 * below each part what it is and what it gives.
 */
export function networkDrawing(spec: NetworkSpec): Markup {
  const blocks = blocksOf(spec);
  const operators = [...new Set(blocks.map(({ operator }) => operator))];
  const key = legend(
    operators.map((name, index) => ({ name, style: seriesStyle(index), swatch: 'bar' as const })),
    0,
    2,
    drawingWidth,
  );
  const parts = [...new Set(blocks.map(({ part }) => part))];
  const room = drawingWidth - 2 * margin;
  const boxWidth = Math.max(3, Math.min(30, (room - leastGap * (parts.length - 1)) / blocks.length));
  const gap = Math.max(leastGap, Math.min(mostGap, (room - blocks.length * boxWidth) / Math.max(1, parts.length - 1)));
  const floor = key.height + 12 + tallest;
  const largest = Math.max(...blocks.map(({ side }) => side));
  let x = margin;
  // Names stand on the first of the levels where those before leave room.
  const free = [-Infinity, -Infinity, -Infinity];
  const drawn = parts.map((part): Content => {
    const own = blocks.filter((block) => block.part === part);
    const middle = x + (own.length * boxWidth) / 2;
    const boxes = own.map(({ side, width, operator, title }, index) => {
      const left = x + index * boxWidth;
      const height = Math.max(6, tallest * Math.sqrt(side / largest));
      const box = { left: left + 0.75, right: left + boxWidth - 0.75, top: floor - height, bottom: floor };
      return bar(box, seriesStyle(operators.indexOf(operator)).color, `${title}; out ${side} × ${side} × ${width}`);
    });
    x += own.length * boxWidth + gap;
    const lines = captionOf(part, spec, own[0]);
    const half = Math.max(...lines.map(textWidth)) / 2;
    const level = Math.max(
      0,
      free.findIndex((end) => middle - half >= end),
    );
    free[level] = middle + half + 6;
    const under = floor + 16 + level * 48;
    return [
      boxes,
      level > 0 && segment(middle, floor + 2, middle, under - 11, { class: 'grid' }),
      lines.map((text, index) => label(middle, under + 14 * index, text, { anchor: 'middle', soft: index > 0 })),
    ];
  });
  const words = `${blocks.length} blocks from ${spec.input.resolution} × ${spec.input.resolution} pixels to ${spec.classes} classes`;
  const levels = free.filter((end) => end > 0).length;
  return chart(Math.max(drawingWidth, x), floor + 8 + levels * 48, words, key.drawing, group({}, drawn));
}

/** Which part it is, its operator, and what comes out of it. */
function captionOf(part: number, { stages, stem }: NetworkSpec, first: DrawnBlock | undefined): readonly string[] {
  const output = first ? `${first.side}² × ${first.width}` : '';
  const stage = stages[part];
  if (stage) return [`stage${part}`, `${stage.operator} ${stage.kernel}×${stage.kernel}`, output];
  return part < 0 ? ['stem', `${stem.kernel}×${stem.kernel}`, output] : ['head', '1×1', output];
}
