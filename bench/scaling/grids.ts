import { parseCsv } from '../../core/csv.ts';
import type { AccuracyObservation } from '../../scaling/surrogate.ts';

/**
 * Families of a table of networks with `width`, `depth`, `resolution` and `top1` (per cent) by name, each network once,
 * multipliers relative to the family's smallest, which comes first.
 */
export function familiesOf(text: string, where: string): ReadonlyMap<string, readonly AccuracyObservation[]> {
  const families = new Map<string, Map<string, readonly [number, number, number, number]>>();
  for (const { cells } of parseCsv(text, where).rows) {
    const [depth, width, resolution, top1] = ['depth', 'width', 'resolution', 'top1'].map((key) => Number(cells[key]));
    if (!depth || !width || !resolution || !top1) continue;
    const name = cells['family'] ?? '';
    // Variants of one name whose operators differ are other families: mobilenet_v3 large, small and minimalistic.
    const variant = /minimalistic|large|small/.exec(name.startsWith('mobilenet_v3') ? (cells['model'] ?? '') : '');
    if (name.startsWith('mobilenet_v3') && !variant) continue;
    const networks = families.get(name) ?? new Map();
    families.set(name, networks.set(`${depth} ${width} ${resolution}`, [depth, width, resolution, top1]));
  }
  return new Map(
    [...families].flatMap(([name, networks]) => {
      const rows = [...networks.values()].toSorted((a, b) => costOf(a) - costOf(b));
      const [smallest] = rows;
      if (!smallest || rows.length < 5) return [];
      const [d, w, r] = smallest;
      const observations = rows.map(([depth, width, resolution, top1]) => ({
        multipliers: { depth: depth / d, width: width / w, resolution: resolution / r },
        accuracy: top1 / 100,
      }));
      return [[name, observations] as const];
    }),
  );
}

function costOf([depth = 1, width = 1, resolution = 1]: readonly number[]): number {
  return depth * (width * resolution) ** 2;
}
