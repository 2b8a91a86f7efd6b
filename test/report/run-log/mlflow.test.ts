import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mlflowLog } from '../../../report/run-log/mlflow.ts';
import { MlflowServer } from './mlflow-server.ts';

const start = { name: 'study/t0001', startedMs: 1000, parameters: { rate: 0.1, 'choice.a:b': 'x'.repeat(9000) } };
const point = (step: number) => ({ step, atMs: 1500.4, values: { 'train/loss': 1 / step, nothing: Number.NaN } });
const end = { status: 'finished', endedMs: 2000 } as const;
const named = (startedMs: number) => ({ ...start, name: 'trained', startedMs });

let server: MlflowServer;
beforeEach(async () => {
  server = await MlflowServer.open();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
});

describe('runs on an MLflow server', () => {
  it('are in the experiment of their study, with parameters, metrics and how they ended', async () => {
    const run = await mlflowLog(server.address).open(start, false);
    await run.point(point(2));
    await run.end(end);
    expect(server.experiments).toEqual(['study']);
    expect(server.runs).toEqual([
      {
        id: 'run0',
        experiment: '0',
        name: 't0001',
        startMs: 1000,
        endMs: 2000,
        status: 'FINISHED',
        parameters: { rate: '0.1', 'choice.a_b': 'x'.repeat(6000) },
        metrics: [{ key: 'train/loss', value: 0.5, step: 2, timestamp: 1500 }],
      },
    ]);
  });

  it('that were interrupted go on; others of their name are new', async () => {
    const log = mlflowLog(server.address);
    await (await log.open(named(1), false)).end({ status: 'killed', endedMs: 2 });
    const second = await log.open(named(3), true);
    expect(server.runs.map(({ status }) => status)).toEqual(['RUNNING']);
    await second.end(end);
    await log.open(named(4), true);
    await log.open(named(5), false);
    expect(server.runs.map(({ startMs }) => startMs)).toEqual([1, 4, 5]);
    expect(server.experiments).toEqual(['ridgepoint']);
  });

  it('told afterwards are there once, in as many requests as the server’s limits ask for', async () => {
    const points = Array.from({ length: 1001 }, (_, index) => point(index + 1));
    const parameters = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`p${index}`, index]));
    for (let again = 0; again < 2; again++)
      await mlflowLog(`${server.address}/`).add({ ...start, parameters, points, ...end });
    expect(server.runs).toHaveLength(1);
    expect(server.runs[0]?.metrics).toHaveLength(1001);
    expect(Object.keys(server.runs[0]?.parameters ?? {})).toHaveLength(101);
  });

  it.each([
    [{ MLFLOW_TRACKING_TOKEN: 'secret' }, 'Bearer secret'],
    [{ MLFLOW_TRACKING_USERNAME: 'me', MLFLOW_TRACKING_PASSWORD: 'secret' }, 'Basic bWU6c2VjcmV0'],
  ])('are sent with the credentials of the environment (%o)', async (variables, expected) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    await mlflowLog(server.address).open(start, false);
    expect([...server.authorizations]).toEqual([expected]);
  });

  it('are refused in the server’s words, or by what there is instead of one', async () => {
    const run = await mlflowLog(server.address).open(start, false);
    server.runs.pop();
    await expect(run.point(point(1))).rejects.toThrow(
      `${server.address}: runs/log-batch: RESOURCE_DOES_NOT_EXIST: run0`,
    );
    const gone = server.address;
    await server.close();
    await expect(mlflowLog(gone).open(start, false)).rejects.toThrow(`${gone}: expected an MLflow server, got `);
  });
});
