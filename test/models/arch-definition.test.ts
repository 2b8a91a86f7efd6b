import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ConfigError } from '../../core/errors.ts';
import { parseArchDefinition } from '../../models/arch-definition.ts';
import { buildNetwork } from '../../models/build.ts';
import { countGraph } from '../../models/counts.ts';
import { builtInNetwork, loadNetwork } from '../../scaling/built-in-networks.ts';
import { fileFolder } from '../cases/file-folder.ts';

interface Published {
  readonly definition: { readonly arch_def: readonly (readonly string[])[]; readonly [key: string]: unknown };
  /** Parameters as timm 1.0.28 counts its network of this definition. */
  readonly params: number;
}

const mobileNetV3 = { model: 'mobilenetv3', stem_size: 16, act_layer: 'hard_swish' };

/** Definitions as timm has them, with the number of parameters that its network has. */
const published: Readonly<Record<string, Published>> = {
  efficientnet_b0: {
    params: 5_288_548,
    definition: {
      act_layer: 'swish',
      arch_def: [
        ['ds_r1_k3_s1_e1_c16_se0.25'],
        ['ir_r2_k3_s2_e6_c24_se0.25'],
        ['ir_r2_k5_s2_e6_c40_se0.25'],
        ['ir_r3_k3_s2_e6_c80_se0.25'],
        ['ir_r3_k5_s1_e6_c112_se0.25'],
        ['ir_r4_k5_s2_e6_c192_se0.25'],
        ['ir_r1_k3_s1_e6_c320_se0.25'],
      ],
    },
  },
  efficientnet_es: {
    params: 5_438_392,
    definition: {
      arch_def: [
        ['er_r1_k3_s1_e4_c24_fc24_noskip'],
        ['er_r2_k3_s2_e8_c32'],
        ['er_r4_k3_s2_e8_c48'],
        ['ir_r5_k5_s2_e8_c96'],
        ['ir_r4_k5_s1_e8_c144'],
        ['ir_r2_k5_s2_e8_c192'],
      ],
    },
  },
  tf_efficientnetv2_s: {
    params: 21_458_488,
    definition: {
      stem_size: 24,
      act_layer: 'silu',
      arch_def: [
        ['cn_r2_k3_s1_e1_c24_skip'],
        ['er_r4_k3_s2_e4_c48'],
        ['er_r4_k3_s2_e4_c64'],
        ['ir_r6_k3_s2_e4_c128_se0.25'],
        ['ir_r9_k3_s1_e6_c160_se0.25'],
        ['ir_r15_k3_s2_e6_c256_se0.25'],
      ],
    },
  },
  mobilenetv2_100: {
    params: 3_504_872,
    definition: {
      act_layer: 'relu6',
      arch_def: [
        ['ds_r1_k3_s1_c16'],
        ['ir_r2_k3_s2_e6_c24'],
        ['ir_r3_k3_s2_e6_c32'],
        ['ir_r4_k3_s2_e6_c64'],
        ['ir_r3_k3_s1_e6_c96'],
        ['ir_r3_k3_s2_e6_c160'],
        ['ir_r1_k3_s1_e6_c320'],
      ],
    },
  },
  mobilenetv3_large_100: {
    params: 5_483_032,
    definition: {
      ...mobileNetV3,
      arch_def: [
        ['ds_r1_k3_s1_e1_c16_nre'],
        ['ir_r1_k3_s2_e4_c24_nre', 'ir_r1_k3_s1_e3_c24_nre'],
        ['ir_r3_k5_s2_e3_c40_se0.25_nre'],
        ['ir_r1_k3_s2_e6_c80', 'ir_r1_k3_s1_e2.5_c80', 'ir_r2_k3_s1_e2.3_c80'],
        ['ir_r2_k3_s1_e6_c112_se0.25'],
        ['ir_r3_k5_s2_e6_c160_se0.25'],
        ['cn_r1_k1_s1_c960'],
      ],
    },
  },
  mobilenetv3_small_100: {
    params: 2_542_856,
    definition: {
      ...mobileNetV3,
      num_features: 1024,
      arch_def: [
        ['ds_r1_k3_s2_e1_c16_se0.25_nre'],
        ['ir_r1_k3_s2_e4.5_c24_nre', 'ir_r1_k3_s1_e3.67_c24_nre'],
        ['ir_r1_k5_s2_e4_c40_se0.25', 'ir_r2_k5_s1_e6_c40_se0.25'],
        ['ir_r2_k5_s1_e3_c48_se0.25'],
        ['ir_r3_k5_s2_e6_c96_se0.25'],
        ['cn_r1_k1_s1_c576'],
      ],
    },
  },
  spnasnet_100: {
    params: 4_421_616,
    definition: {
      arch_def: [
        ['ds_r1_k3_s1_c16_noskip'],
        ['ir_r3_k3_s2_e3_c24'],
        ['ir_r1_k5_s2_e6_c40', 'ir_r3_k3_s1_e3_c40'],
        ['ir_r1_k5_s2_e6_c80', 'ir_r3_k3_s1_e3_c80'],
        ['ir_r1_k5_s1_e6_c96', 'ir_r3_k5_s1_e3_c96'],
        ['ir_r4_k5_s2_e6_c192'],
        ['ir_r1_k3_s1_e6_c320_noskip'],
      ],
    },
  },
  semnasnet_100: {
    params: 3_887_038,
    definition: {
      arch_def: [
        ['ds_r1_k3_s1_e1_c16_noskip'],
        ['ir_r2_k3_s2_e6_c24'],
        ['ir_r3_k5_s2_e3_c40_se0.25'],
        ['ir_r4_k3_s2_e6_c80'],
        ['ir_r2_k3_s1_e6_c112_se0.25'],
        ['ir_r3_k5_s2_e6_c160_se0.25'],
        ['ir_r1_k3_s1_e6_c320'],
      ],
    },
  },
};

const ofBlock = (text: string, stem_size: number) => ({ arch_def: [[text]], stem_size, num_features: 100 });

describe('a definition of timm', () => {
  it.each(Object.entries(published))(
    'of %s has the parameters of the published network',
    (_, { definition, params }) => {
      const spec = parseArchDefinition(definition, 'definition');
      expect(countGraph(buildNetwork(spec, 1)).params).toBe(params);
    },
  );

  it('of EfficientNet-B0 is our own, but for what regularises it and the name', () => {
    const spec = parseArchDefinition({ ...published['efficientnet_b0']?.definition, bn_eps: 1e-3 }, 'definition');
    const own = builtInNetwork('efficientnet-b0');
    expect(spec).toEqual({ ...own, name: undefined, survival: 1, head: { ...own?.head, dropout: 0 } });
  });

  it('is read wherever a spec is, by its key', () => {
    const path = join(fileFolder(), 'b0.yaml');
    writeFileSync(
      path,
      stringify({ name: 'b0', num_classes: 10, img_size: 32, ...published['efficientnet_b0']?.definition }),
    );
    expect(loadNetwork(path)).toMatchObject({ name: 'b0', classes: 10, input: { resolution: 32, channels: 3 } });
  });

  it('has channels in multiples of 8, no more than a tenth below what is written, but for the last convolution', () => {
    for (const [written, built] of [
      [ofBlock('ir_r1_k3_s2_e6_c20', 26), ofBlock('ir_r1_k3_s2_e6_c24', 24)],
      [ofBlock('ds_r2_k3_s1_c11', 27), ofBlock('ds_r2_k3_s1_c16', 32)],
      [ofBlock('er_r1_k3_s1_e4_c3_fc20', 1), ofBlock('er_r1_k3_s1_e4_c8_fc24', 8)],
      [ofBlock('cn_r1_k3_s1_c44', 32), ofBlock('cn_r1_k3_s1_c48', 32)],
    ] as const)
      expect(parseArchDefinition(written, 'definition')).toEqual(parseArchDefinition(built, 'definition'));
    const { head } = parseArchDefinition(ofBlock('ds_r1_k3_s1_c16', 32), 'definition');
    expect(head.width).toBe(100);
  });

  it('splits a row whose first block rounds to another expansion than the rest', () => {
    const { stages } = parseArchDefinition({ arch_def: [['ir_r3_k3_s2_e2.3_c40']], stem_size: 24 }, 'definition');
    expect(stages.map(({ repeats, stride }) => [repeats, stride])).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });
});

describe('what a spec cannot say is refused by its block:', () => {
  it.each([
    [
      'a block of another kind',
      'uir_r1_k3_s1_e4_c24',
      /definition: block uir_r1_k3_s1_e4_c24: expected ir, ds, er, cn/,
    ],
    ['a mixed kernel', 'ir_r1_k3.5.7_s1_e6_c24', /expected options such as .*, got k3\.5\.7/],
    ['a part of a channel', 'ir_r1_k3_s1_e6_c20.5', /got c20\.5/],
    ['groups', 'ir_r1_k3_s1_e6_c24_gs8', /got gs8/],
    ['another activation', 'ir_r1_k3_s1_e6_c24_nmi', /got nmi/],
    ['an expansion that is missing', 'ir_r1_k3_s1_c24', /block ir_r1_k3_s1_c24: expected also e, as in e1/],
    ['a convolution for an expansion of 1', 'ir_r1_k3_s1_e1_c24', /more than 32 expanded channels.*ds has none/],
    ['a squeeze to a part of a channel', 'ir_r1_k3_s1_e6_c24_se0.24', /whole channels, got 7\.68 of 32/],
  ])('%s', (_, block, message) => {
    const call = () => parseArchDefinition({ arch_def: [[block]] }, 'definition');
    expect(call).toThrow(ConfigError);
    expect(call).toThrow(message);
  });

  it('a key that nobody knows', () => {
    expect(() => parseArchDefinition({ arch_def: [['ds_r1_k3_s1_c16']], stem: 3 }, 'definition')).toThrow(/"stem"/);
  });
});
