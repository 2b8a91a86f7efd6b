import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, InterruptedError } from '../../../core/errors.ts';
import type { Outcome } from '../../../core/trial.ts';
import { dataSourceSchema } from '../../../data/source.ts';
import { parseNetworkSpec } from '../../../models/spec.ts';
import { openRunLog } from '../../../report/run-log/place.ts';
import {
  type RunEnd,
  type RunLog,
  type RunPoint,
  RunReporter,
  type RunStart,
  type WholeRun,
} from '../../../report/run-log/run-log.ts';
import { trialLogger } from '../../../report/run-log/trials.ts';
import type { JournalEvent } from '../../../study/journal/events.ts';
import { journalPath, readJournal } from '../../../study/journal/journal.ts';
import { logTrials, whileLogged } from '../../../study/train/run-logging.ts';
import { trainNetwork, type TrainNetworkRequest } from '../../../study/train/train-network.ts';
import { defaultRecipe } from '../../../training/recipe.ts';
import { fileFolder } from '../../cases/file-folder.ts';
import { newFolder, runFake, smallStudy } from '../small-study.ts';

/** Keeps what it is told, or fails from the beginning. */
class RememberingLog implements RunLog {
  readonly opened: { start: RunStart; goesOn: boolean; points: RunPoint[]; end?: RunEnd }[] = [];
  readonly added: WholeRun[] = [];
  readonly #fails: boolean;

  constructor({ fails = false } = {}) {
    this.#fails = fails;
  }

  async open(start: RunStart, goesOn: boolean) {
    if (this.#fails) throw new Error('disk full');
    const run: (typeof this.opened)[number] = { start, goesOn, points: [] };
    this.opened.push(run);
    return {
      point: async (point: RunPoint) => void run.points.push(point),
      end: async (end: RunEnd) => void (run.end = end),
    };
  }

  async add(run: WholeRun): Promise<void> {
    if (this.#fails) throw new Error('disk full');
    if (this.added.some(({ name }) => name === run.name)) return;
    this.added.push(run);
  }
}

const network = parseNetworkSpec(
  {
    input: { channels: 3, resolution: 16 },
    classes: 2,
    stem: { kernel: 3, stride: 2, width: 8 },
    stages: [{ operator: 'fused-mbconv', kernel: 3, stride: 2, expansion: 2, width: 8, repeats: 1 }],
    head: { width: 0 },
  },
  'test network',
);

function requestFor(log: RunLog, overrides: Partial<TrainNetworkRequest> = {}): TrainNetworkRequest {
  return {
    network,
    data: dataSourceSchema.parse({ format: 'rendered', classes: 2, train: 60, test: 20, resolution: 16 }),
    baseDirectory: fileFolder(),
    trainer: { batchSize: 8, warmup: 0.5 },
    fidelity: { examples: 80, seed: 1 },
    threads: 1,
    folder: join(fileFolder(), 'mine'),
    log,
    ...overrides,
  };
}

describe('a training with a run log', () => {
  it('tells its parameters, its curve as it goes, its scores and that it ended', async () => {
    const log = new RememberingLog();
    const { curve, holdout, test } = await trainNetwork(requestFor(log));
    const [run] = log.opened;
    expect(run).toMatchObject({
      goesOn: false,
      start: { name: 'mine', parameters: { optimizer: 'sgd-momentum', batchSize: 8, examples: 80, trainer: 'onnx' } },
      end: { status: 'finished' },
    });
    expect(run?.points.slice(0, -1).map(({ step, values }) => [step, values['train/loss']])).toEqual(
      curve.map(({ examples, loss }) => [examples, loss]),
    );
    // Ten updates, half of them warming up to .025 for batches of 8.
    expect(run?.points.slice(0, 5).map(({ values }) => values['train/learning-rate'])).toEqual(
      [1, 2, 3, 4, 5].map((update) => (0.025 * update) / 5),
    );
    expect(run?.points.at(-1)?.values).toEqual({
      'holdout/accuracy': holdout.accuracy,
      'holdout/cross-entropy': holdout.crossEntropy,
      'test/accuracy': test.accuracy,
      'test/cross-entropy': test.crossEntropy,
    });
  });

  it('that is interrupted and resumed is one run', async () => {
    const log = new RememberingLog();
    const controller = new AbortController();
    const request = requestFor(log, { fidelity: { examples: 4000, seed: 1 } });
    const onProgress = ({ phase }: { readonly phase: string }) => phase === 'train' && controller.abort();
    await expect(trainNetwork({ ...request, signal: controller.signal, onProgress })).rejects.toThrow(InterruptedError);
    await trainNetwork(request);
    expect(log.opened.map(({ goesOn, end }) => [goesOn, end?.status])).toEqual([
      [false, 'killed'],
      [true, 'finished'],
    ]);
  });

  it('ends as if there were none when that fails, saying so once', async () => {
    const notices: string[] = [];
    const training = { name: 'mine', recipe: defaultRecipe(), fidelity: { examples: 64, seed: 1 }, parameters: {} };
    const result = await whileLogged(
      new RememberingLog({ fails: true }),
      { ...training, goesOn: false, onNotice: (text) => notices.push(text) },
      async (onPoint) => {
        for (const examples of [32, 64]) onPoint({ examples, loss: 1, imagesPerS: 10, remainingS: 1 });
        return 'trained';
      },
      () => ({ 'test/accuracy': 1 }),
    );
    expect(result).toBe('trained');
    expect(notices).toEqual(['--log: disk full; nothing more is recorded there']);
  });
});

describe('a study with a run log', () => {
  it('tells every trial that has its answer, those of earlier sessions too, once', async () => {
    const folder = newFolder();
    const config = smallStudy();
    const log = new RememberingLog();
    const first = logTrials(log, config, folder, () => {});
    await runFake(config, folder, { onEvent: first.event });
    await first.settled();
    const again = new RememberingLog();
    await logTrials(again, config, folder, () => {}).settled();
    expect(again.added).toEqual(log.added);

    const { events } = readJournal(journalPath(folder));
    const answered = events.flatMap((event) =>
      event.type === 'outcome' && !(event.outcome.status === 'failed' && event.outcome.retry) ? [event] : [],
    );
    expect(log.added.map(({ name }) => name)).toEqual(answered.map(({ id }) => `small/${id}`));
    expect(new Set(log.added.map(({ parameters }) => parameters['phase']))).toEqual(
      new Set(['search', 'scale', 'train']),
    );
    log.added.forEach(({ points, status, startedMs, endedMs, parameters }, index) => {
      const outcome = answered[index]?.outcome;
      expect(status).toBe(outcome?.status === 'ok' ? 'finished' : 'failed');
      expect(points.at(-1)?.values).toMatchObject(outcome?.status === 'ok' ? outcome.metrics : {});
      expect(endedMs).toBeGreaterThanOrEqual(startedMs);
      expect(parameters['learningRate']).toBe(0.1);
    });
  });
});

const lost = (retry: boolean): Outcome => ({ status: 'failed', code: 'lost', retry, detail: 'a cable' });

describe('a trial that failed', () => {
  it('is told as what it became when it was tried again, and when the study ends if nobody did', async () => {
    const folder = newFolder();
    await runFake(smallStudy(), folder);
    const { events } = readJournal(journalPath(folder));
    const trials = events.filter((event) => event.type === 'issued').slice(0, 3);
    const answers = trials.flatMap(
      ({ id }) => events.findLast((event) => event.type === 'outcome' && event.id === id) ?? [],
    );
    const closed = events.findLast((event) => event.type === 'study') as JournalEvent;
    const log = new RememberingLog();
    const reporter = new RunReporter(log, () => {});
    const hear = trialLogger(reporter, { study: 'small' });
    const failed = (index: number, retry: boolean) =>
      hear({ ...(answers[index] as JournalEvent), outcome: lost(retry) } as JournalEvent);
    for (const trial of trials) hear(trial);
    failed(0, false);
    failed(1, true);
    failed(2, false);
    hear(answers[2] as JournalEvent);
    await reporter.settled();
    expect(log.added.map(({ name, status }) => [name, status])).toEqual([['small/t0003', 'finished']]);
    hear(closed);
    await reporter.settled();
    expect(log.added.slice(1).map(({ name, status }) => [name, status])).toEqual([
      ['small/t0001', 'failed'],
      ['small/t0002', 'failed'],
    ]);
  });
});

describe('--log', () => {
  it.each([
    ['', /expected tensorboard:<folder> or mlflow:<address of a tracking server>, got ""/],
    ['tensorboard:', /expected tensorboard:<folder>/],
    ['wandb:x', /got "wandb:x"/],
    ['mlflow:./mlruns', /expected mlflow:http:.* gives up folders of files, got ".\/mlruns"/],
    ['mlflow:ftp://host', /expected mlflow:http:/],
    ['mlflow:http://me:secret@host', /expected credentials in MLFLOW_TRACKING_USERNAME/],
  ])('%j is refused', (text, message) => {
    expect(() => openRunLog(text)).toThrow(ConfigError);
    expect(() => openRunLog(text)).toThrow(message);
    if (text.includes('secret')) expect(() => openRunLog(text)).not.toThrow(/secret/);
  });
});
