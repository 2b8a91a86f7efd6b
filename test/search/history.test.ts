import { describe, expect, it } from 'vitest';
import { Random } from '../../core/random.ts';
import type { ObservedTrial } from '../../search/controller.ts';
import { History } from '../../search/history.ts';

const fidelity = { examples: 1, seed: 0 };

describe('a history that keeps the youngest', () => {
  it('has the same youngest finished trials as one that keeps all, whatever ends when and is told again', () => {
    const random = new Random(7);
    const [whole, kept] = [new History({}), new History({ keep: 5 })];
    const open: ObservedTrial[] = [];
    const told: ObservedTrial[] = [];
    for (let step = 0; step < 600; step++) {
      const draw = random.child(step);
      const next = (): ObservedTrial => {
        const isNew = open.length < 3 || (open.length < 20 && draw.child('new').uniform() < 0.5);
        const old = told[draw.child('old').integer(told.length || 1)];
        if (draw.child('again').uniform() < 0.1 && old) return old;
        if (isNew)
          return { id: `t${step}`, status: 'issued', choices: { a: draw.child('choice').integer(50) }, fidelity };
        const [ended] = open.splice(draw.child('which').integer(open.length), 1);
        return { ...(ended as ObservedTrial), status: 'ok', reward: draw.child('reward').uniform() };
      };
      const trial = next();
      if (trial.status === 'issued') open.push(trial);
      else told.push(trial);
      for (const history of [whole, kept]) history.observe([trial]);
      expect(kept.finished).toEqual(whole.finished.slice(-5));
      expect(kept.size).toBe(whole.size);
    }
    expect(whole.size).toBeGreaterThan(200);
    expect(kept.trials.length).toBeLessThan(60);
  });

  it('still proposes no network that it no longer keeps', () => {
    const history = new History({ keep: 0 });
    for (let a = 0; a < 9; a++) history.observe([{ id: `t${a}`, status: 'ok', choices: { a }, fidelity, reward: 1 }]);
    expect(history.trials).toEqual([]);
    const next = history.suggest(1, {}, ({ ordinal, drawNew }) => {
      expect(ordinal).toBe(9);
      return drawNew((attempt) => ({ a: attempt }));
    });
    expect(next).toEqual([{ a: 9 }]);
  });
});
