import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { modelCard, type CardInput } from '../../report/card.ts';
import type { MemberSummary, TargetSummary } from '../../study/deliver/summary.ts';
import { defaultRecipe } from '../../training/recipe.ts';
import type { Recipe } from '../../training/trainer.ts';
import { studySummary } from './fixture.ts';

function input(changes: Partial<CardInput> = {}): CardInput {
  const summary = studySummary();
  const target = summary.targets[0] as TargetSummary;
  return {
    member: target.lines[0]?.members[2] as MemberSummary,
    target,
    summary,
    preprocessing: {
      channelOrder: 'RGB',
      fit: 'stretch',
      mean: [0.5, 0.4, 0.3],
      std: [0.2, 0.21, 0.22],
      resizeFilter: 'area',
      classNames: ['cat', 'dog|`wolf`'],
    },
    digest: `sha256:${'ab'.repeat(32)}`,
    ...changes,
  };
}

describe('model card', () => {
  it('says what to feed the network', () => {
    const card = modelCard(input());
    expect(card).toContain('`[batch, 3, 48, 48]`, channels first, order RGB');
    expect(card).toContain('mean [0.5, 0.4, 0.3], std [0.2, 0.21, 0.22]');
    expect(card).toContain('filter `area`');
    expect(card).toContain('Needs onnxruntime 1.12 or later');
  });

  it('says whose measurement a latency is', () => {
    const { member, ...rest } = input();
    const by = (latency: Partial<typeof member.latency>) =>
      modelCard({ ...rest, member: { ...member, latency: { ...member.latency, source: 'command', ...latency } } });
    expect(by({})).toContain('measured by the user’s own program in');
    expect(by({ reported: true, p99Ms: null, samples: 0 })).toMatch(
      /\| p99 \| not reported \|[^]*Percentiles as the user’s own program reported them, in \d+\Dsessions; nobody saw the runs/,
    );
  });

  it('does not claim a limit whose percentile is not known', () => {
    const { member, ...rest } = input();
    const card = modelCard({ ...rest, member: { ...member, limitMet: 'unknown' } }).replaceAll('\u00a0', ' ');
    expect(card).toMatch(/\| limit [^|]* \| \*\*not known\*\* \|/);
    expect(card).toMatch(
      /Whether it keeps the latency limit of its study is not known: its p90 is within it, but \d+ samples/,
    );
  });

  it('gives results with seeds, interval, fingerprint and why there is no p99', () => {
    const card = modelCard(input()).replaceAll('\u00a0', ' ');
    expect(card).toContain('| 80.4 ± 0.7 % |');
    expect(card).toContain('test: 79.70, 80.50, 81.00');
    expect(card).toContain('| 1.64 ms to 1.74 ms |');
    expect(card).toContain('210 runs are too few (300 are needed)');
    expect(card).toContain('onnxruntime-node 1.30.0, provider cpu');
    expect(card).toContain('**unstable**');
  });

  it('says that an emulated GPU is none', () => {
    const { member } = input();
    const { fingerprint } = member.latency;
    if (!fingerprint) throw new Error('expected a fixture with a fingerprint');
    const emulated = { ...fingerprint, provider: 'webgpu', software: 'SwiftShader' };
    const card = modelCard(input({ member: { ...member, latency: { ...member.latency, fingerprint: emulated } } }));
    expect(card).toContain('provider webgpu (emulated on the CPU by SwiftShader: no GPU’s latency)');
    expect(modelCard(input())).not.toContain('emulated');
  });

  it('admits what one seed cannot tell', () => {
    const { member } = input();
    const single = { ...member, testAccuracy: { mean: 0.8, sd: null, values: [0.8] } };
    expect(modelCard(input({ member: single }))).toContain('how much another seed would differ is not known');
  });

  it('tells how it was trained when that is known', () => {
    const recipe = {
      optimizer: 'sgd-momentum',
      batchSize: 32,
      learningRate: 0.1,
      momentum: 0.9,
      weightDecay: 1e-4,
      labelSmoothing: 0.1,
      warmup: 0.05,
    } as const;
    const card = modelCard(input({ recipe, trainingExamples: 24_000 }));
    expect(card).toContain('SGD with momentum 0.9, batch 32, peak learning rate 0.1');
    expect(card).toContain('3.0 times the training split');
    expect(modelCard(input())).not.toContain('Recipe');
  });

  it.each([
    [
      { optimizer: 'rmsprop', schedule: { kind: 'exponential', factor: 0.97, every: 0.01 } },
      /RMSprop with momentum 0\.9.*times 0\.97 after every 1\.00.%/,
    ],
    [{ nesterov: true, schedule: { kind: 'constant' } }, /SGD with Nesterov momentum 0\.9.*then constant\)/],
    [
      { schedule: { kind: 'warmup-stable-decay', decay: 0.2, shape: '1-sqrt' } },
      /constant until it falls by 1 − √x to zero over the last 20.%/,
    ],
    [
      { optimizer: 'adamw', microBatches: 2, clipNorm: 1, emaDecay: 0.999 },
      /AdamW, batch 32 in 2 parts.*clipped to a norm of 1, weights averaged with a decay of 0\.999/,
    ],
  ] as [Partial<Recipe>, RegExp][])('tells the recipe %j', (recipe, text) => {
    expect(modelCard(input({ recipe: defaultRecipe(recipe) }))).toMatch(text);
  });

  it('keeps names from breaking its Markdown', () => {
    const { summary } = input();
    const card = modelCard(input({ summary: { ...summary, name: 'a|b *c* <i>' } }));
    expect(card).toContain("`dog|'wolf'`");
    expect(card).toContain('# a\\|b \\*c\\* \\<i\\>');
  });

  it.each(['RGB', 'grey', 'as-stored'] as const)('shows %s code that Node accepts', (channelOrder) => {
    const { preprocessing, member } = input();
    const channels = channelOrder === 'grey' ? 1 : 3;
    const spec = member.spec && { ...member.spec, input: { ...member.spec.input, channels } };
    const card = modelCard(input({ member: { ...member, spec }, preprocessing: { ...preprocessing, channelOrder } }));
    const source = /```js\n([\s\S]*?)```/.exec(card)?.[1] ?? 'no code';
    expect(source.split('\n').length).toBeLessThanOrEqual(13);
    expect(() => execFileSync(process.execPath, ['--input-type=module', '--check'], { input: source })).not.toThrow();
  });
});
