import { expect, it } from 'vitest';
import { planStudy } from '../../study/plan.ts';
import { smallStudy } from './small-study.ts';

it('planning a study renders none of its pictures', { timeout: 30_000 }, async () => {
  // Rendering these takes minutes.
  const plan = await planStudy(smallStudy({ data: { format: 'rendered', resolution: 32, train: 500_000 } }));
  expect(plan.candidate.macs).toBeGreaterThan(0);
});
