import { describe, expect, it } from 'vitest';
import { blocksOf, networkDrawing } from '../../dashboard/network-drawing.ts';
import { blockCount, type NetworkSpec } from '../../models/spec.ts';
import { builtInNetwork, builtInNetworkNames } from '../../scaling/built-in-networks.ts';

function familySpec(name: string): NetworkSpec {
  const spec = builtInNetwork(name);
  if (!spec) throw new Error(`expected a built-in network, got ${name}`);
  return spec;
}

/** Side and width of what comes out of each part. */
function outputsOf(name: string): readonly string[] {
  const parts = new Map(blocksOf(familySpec(name)).map(({ part, side, width }) => [part, `${side}² × ${width}`]));
  return [...parts.values()];
}

describe('a drawn network', () => {
  it('has the sizes that were published of EfficientNet-B0 (Tan & Le 2019, table 1)', () => {
    const published = [
      '112² × 32',
      '112² × 16',
      '56² × 24',
      '28² × 40',
      '14² × 80',
      '14² × 112',
      '7² × 192',
      '7² × 320',
    ];
    expect(outputsOf('efficientnet-b0')).toEqual([...published, '7² × 1280']);
  });

  it('has the sizes that were published of ResNet-50 (He et al. 2016, table 1), which has no head', () => {
    expect(outputsOf('resnet-50')).toEqual(['56² × 64', '56² × 256', '28² × 512', '14² × 1024', '7² × 2048']);
  });

  it.each(builtInNetworkNames)('has every block of %s', (name) => {
    const spec = familySpec(name);
    const blocks = blocksOf(spec);
    expect(blocks.length).toBe(blockCount(spec) + 1 + Number(spec.head.width > 0));
    expect(networkDrawing(spec).markup.match(/<rect /g)?.length).toBeGreaterThanOrEqual(blocks.length);
  });

  it('says in words what it shows, and escapes what it is given', () => {
    const { markup } = networkDrawing({ ...familySpec('mobilenet-v2'), name: '<script>' });
    expect(markup).toMatch(/aria-label="\d+ blocks from 224 × 224 pixels to 1000 classes"/);
    expect(markup).not.toContain('<script');
  });
});
