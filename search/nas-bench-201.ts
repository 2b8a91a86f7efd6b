import type { Choices } from '../core/trial.ts';
import { oneOf, type SpaceNode } from './space.ts';

/** What an edge of a cell may be, in the table's words. */
export const nasBench201Operators = ['none', 'skip_connect', 'nor_conv_1x1', 'nor_conv_3x3', 'avg_pool_3x3'] as const;

/** Edges of a cell in the order of the table's text: node 1's, node 2's, node 3's. */
const edges = [
  [0, 1],
  [0, 2],
  [1, 2],
  [0, 3],
  [1, 3],
  [2, 3],
] as const;

const input = '0';
const nothing = '#';

const tagOf = (from: number, to: number): string => `edge${from}${to}`;

/**
 * NAS-Bench-201's cells (Dong & Yang 2020): four nodes, six edges from earlier to later ones, five operators an edge;
 * 15,625 cells that make 6,466 networks. A space for tables ({@link cellText} names a row): its choices are no
 * {@link NetworkSpec}.
 */
export const nasBench201: SpaceNode = Object.fromEntries(
  edges.map(([from, to]) => [tagOf(from, to), oneOf([...nasBench201Operators], tagOf(from, to))]),
);

/** The cell as the table writes it: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`. */
export function cellText(choices: Choices): string {
  const nodes = [1, 2, 3].map((node) =>
    edges
      .filter(([, to]) => to === node)
      .map(([from, to]) => `${String(choices[tagOf(from, to)])}~${from}|`)
      .join(''),
  );
  return nodes.map((node) => `|${node}`).join('+');
}

/**
 * Names the network a cell makes, alike for cells that make the same one, by the benchmark's own rule: `none` is nothing, an
 * operator on nothing is nothing, `skip_connect` is what it comes from, and a sum does not depend on the order of its terms. The
 * rule gives 6,466 networks. It keeps terms that are nothing, so a few names still stand for one function; going further
 * is not safe, for the table's convolutions end in a batch norm, which makes a constant of nothing.
 */
export function cellIdentity(choices: Choices): string {
  const nodes = [input];
  for (const node of [1, 2, 3]) {
    const terms = edges
      .filter(([, to]) => to === node)
      .map(([from, to]) => {
        const source = nodes[from] ?? nothing;
        const operator = choices[tagOf(from, to)];
        if (operator === 'none' || source === nothing) return nothing;
        return operator === 'skip_connect' ? source : `(${source})@${String(operator)}`;
      });
    nodes.push(terms.toSorted().join('+'));
  }
  return nodes[3] ?? nothing;
}
