import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Offer } from '../../jobs/offer.ts';
import { servicesOf } from '../../jobs/services.ts';
import { fileFolder } from '../cases/file-folder.ts';

it('a worker offers its providers in every precision that files are delivered in, profiles in those of the device', () => {
  const offer = {
    devices: { cpu: 'cpu', trt: 'tensorrt', edge: 'tpu-v5e' },
    trainers: [],
    commands: {},
    slots: 0,
    store: join(fileFolder(), 'store'),
  } as unknown as Offer;
  const offered = servicesOf(offer, 'node7').map(({ offers }) => offers);
  expect(offered.slice(0, 2)).toEqual([
    { device: 'cpu', precisions: ['fp32', 'fp16', 'int8'] },
    { device: 'trt', precisions: ['fp32'] },
  ]);
  expect(offered[2]).toMatchObject({ precisions: expect.arrayContaining(['bf16']) as string[] });
});
