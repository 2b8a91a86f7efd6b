import type { Lower } from './elementwise.ts';

// Operators that only move values: in channel-major layout the channels are rows.

/** Rows below rows. */
export const lowerConcat: Lower<'concat'> = (node, plain) => {
  const rows = node.inputs.map((input) => plain.value(input));
  plain.bind(node.outputs[0] as string, plain.op('Concat', rows, { axis: 0 }));
};

/** Each input's rows, cut out again. */
export const lowerConcatGradient: Lower<'concat-gradient'> = (node, plain) => {
  const dy = plain.value(node.inputs[0] as string);
  let start = 0;
  for (const dx of node.outputs) {
    const end = start + (plain.shape(dx)[1] as number);
    plain.bind(dx, plain.op('Slice', [dy, plain.ints([start]), plain.ints([end]), plain.ints([0])]));
    start = end;
  }
};

/** `[c, n · h÷b, b, w÷b, b]` → `[b, b, c, n · h÷b, w÷b]` */
export const lowerSpaceToDepth: Lower<'space-to-depth'> = (node, plain) => {
  const [x] = node.inputs as [string];
  const [y] = node.outputs as [string];
  const { block } = node.attributes;
  const [batch, channels, height, width] = plain.shape(x) as [number, number, number, number];
  const blocks = plain.view(plain.value(x), [channels, (batch * height) / block, block, width / block, block]);
  plain.bind(y, plain.view(plain.op('Transpose', [blocks], { perm: [2, 4, 0, 1, 3] }), plain.extents(y)));
};

/** The same permutation backwards. */
export const lowerSpaceToDepthGradient: Lower<'space-to-depth-gradient'> = (node, plain) => {
  const [dy] = node.inputs as [string];
  const [dx] = node.outputs as [string];
  const { block } = node.attributes;
  const [batch, channels, height, width] = plain.shape(dx) as [number, number, number, number];
  const pixels = plain.view(plain.value(dy), [block, block, channels, (batch * height) / block, width / block]);
  plain.bind(dx, plain.view(plain.op('Transpose', [pixels], { perm: [2, 3, 0, 4, 1] }), plain.extents(dx)));
};
