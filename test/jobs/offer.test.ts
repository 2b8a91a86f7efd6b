import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readOffer } from '../../jobs/offer.ts';
import { fileFolder } from '../cases/file-folder.ts';

const noFlags = { devices: [] };
const nothing = (): boolean => false;
const node = (name: string): boolean => name === '@tensorflow/tfjs-node';
const plain = (name: string): boolean => name === '@tensorflow/tfjs';

function workerFile(content: object): string {
  const path = join(fileFolder(), 'worker.yaml');
  writeFileSync(path, JSON.stringify(content));
  return path;
}

describe('what a worker offers', () => {
  it('is the built-in trainer without a file, and the devices that flags name', () => {
    expect(readOffer(undefined, { devices: ['cpu'], slots: 3 }, nothing)).toMatchObject({
      devices: { cpu: 'cpu' },
      trainers: ['built-in'],
      slots: 3,
      lockMs: 30_000,
      store: resolve('runs/store'),
    });
  });

  it('is what its file says: devices by the names of studies, commands as trainers and targets', () => {
    const path = workerFile({
      devices: {
        xeon: 'cpu',
        'trt-a100': 'command:trt@1',
      },
      trainers: ['torch@3'],
      commands: {
        'trt@1': { command: ['trt', '{request}'] },
        'torch@3': { command: ['torch', '{request}'] },
      },
      slots: 2,
      store: 'shared',
      lock: '2min',
    });
    expect(readOffer(path, noFlags)).toMatchObject({
      devices: {
        xeon: 'cpu',
        'trt-a100': 'command:trt@1',
      },
      trainers: ['torch@3'],
      slots: 2,
      lockMs: 120_000,
      store: join(path, '..', 'shared'),
      baseDirectory: join(path, '..'),
    });
    expect(readOffer(path, { devices: ['command:trt@1'], store: '/other' })).toMatchObject({
      devices: {
        'trt@1': 'command:trt@1',
        xeon: 'cpu',
      },
      store: '/other',
    });
  });

  it('has TensorFlow.js where a native one is installed, unless its file names other trainers', () => {
    expect(readOffer(undefined, noFlags, node).trainers).toEqual(['built-in', 'tfjs']);
    expect(readOffer(undefined, noFlags, plain).trainers).toEqual(['built-in']);
    expect(readOffer(workerFile({ trainers: ['tfjs'] }), noFlags, plain).trainers).toEqual(['tfjs']);
    expect(readOffer(workerFile({ trainers: ['built-in'] }), noFlags, node).trainers).toEqual(['built-in']);
    expect(readOffer(workerFile({ trainers: ['tfjs'] }), noFlags, node).trainers).toEqual(['tfjs']);
    expect(() => readOffer(workerFile({ trainers: ['tfjs'] }), noFlags, nothing)).toThrow(
      /expected TensorFlow\.js beside Ridgepoint, got none; install it by/,
    );
  });

  it.each([
    [{ devices: { a: 'quantum' } }, /devices\.a: expected cpu, .* or command:<name>, got "quantum"/],
    [{ devices: { a: 'command:gone' } }, /devices\.a: expected a command among none, got "gone"/],
    [{ trainers: ['gone'] }, /trainers: expected a command among none, got "gone"/],
    [
      { trainers: ['tfjs'], commands: { tfjs: { command: ['train', '{request}'] } } },
      /commands\.tfjs: expected another name than those of Ridgepoint's own trainers, got tfjs/,
    ],
    [{ trainers: [] }, /expected a device or a trainer with slots to offer, got neither/],
    [{ slots: 0 }, /got neither/],
    [{ lock: '30' }, /lock/],
    [{ colour: 'red' }, /colour/],
  ])('is refused when it leads nowhere: %j', (content, message) => {
    expect(() => readOffer(workerFile(content), noFlags)).toThrow(message);
  });
});
