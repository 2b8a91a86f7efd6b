import { digestJson, shortDigest } from '../core/digest.ts';
import type { FleetView } from '../jobs/observer.ts';
import { byteSize, plural } from '../report/format.ts';
import { element, type Content } from '../report/markup.ts';
import { dataTable, livePart, note, type Page } from './layout.ts';

/** Changes whenever what is seen does. */
export function fleetVersion(fleet: FleetView): string {
  return shortDigest(digestJson(JSON.parse(JSON.stringify(fleet))));
}

/** Workers, devices and queues at a Redis. @param name where that is, without its secrets. */
export function fleetPage(fleet: FleetView, name: string, hasQueues: boolean): Page {
  return {
    title: 'Fleet',
    live: { events: '/fleet/events', version: fleetVersion(fleet) },
    body: [
      element('h1', {}, 'Fleet'),
      livePart(
        'redis',
        { class: 'head' },
        fleet.reachable
          ? note(`Redis at ${name}.`)
          : element(
              'p',
              { class: 'problem', role: 'alert' },
              `Redis at ${name} cannot be reached. What follows is what was seen last.`,
            ),
      ),
      livePart('workers', {}, element('h2', {}, 'Workers'), workerTable(fleet)),
      livePart('devices', {}, element('h2', {}, 'Devices'), deviceTable(fleet)),
      livePart(
        'queues',
        {},
        element('h2', {}, 'Queues'),
        queueTable(fleet),
        hasQueues && note(element('a', { href: '/queues' }, 'Every job'), ', with its data, its reason and its log.'),
      ),
    ],
  };
}

function workerTable({ workers }: FleetView): Content {
  if (workers.length === 0) return note('No worker is there. "ridgepoint worker --redis …" starts one.');
  return dataTable(
    'Workers',
    ['worker', 'state', 'trains with', 'slots', 'devices', 'doing', 'host', 'memory', 'version'],
    workers.map(({ id, trainers, slots, devices, jobs, host, pid, memoryBytes, version }) => [
      id,
      element(
        'span',
        { class: 'mark good' },
        element('span', { 'aria-hidden': 'true' }, '●'),
        jobs.length > 0 ? ' busy' : ' idle',
      ),
      trainers.join(', ') || '–',
      String(slots),
      devices.join(', ') || '–',
      element('span', { title: jobs.join('\n') }, jobs.length > 0 ? plural(jobs.length, 'job') : '–'),
      `${host}, process ${pid}`,
      byteSize(memoryBytes),
      version,
    ]),
  );
}

function deviceTable({ workers }: FleetView): Content {
  const names = [...new Set(workers.flatMap(({ devices }) => devices))].toSorted();
  if (names.length === 0) return note('No worker measures.');
  return dataTable(
    'Devices',
    ['device', 'workers'],
    names.map((name) => [
      name,
      workers
        .filter(({ devices }) => devices.includes(name))
        .map(({ id }) => id)
        .join(', '),
    ]),
  );
}

function queueTable({ queues }: FleetView): Content {
  if (queues.length === 0) return note('No queue yet: studies make them.');
  return dataTable(
    'Queues',
    ['queue', 'wait', 'run', 'later', 'failed', 'done', 'why they wait'],
    queues.map(({ queue, waiting, active, delayed, failed, completed, why, isStuck }) => [
      queue,
      String(waiting),
      String(active),
      String(delayed),
      failed > 0 ? element('span', { class: 'bad' }, `! ${failed}`) : '0',
      String(completed),
      isStuck ? element('span', { class: 'mark bad' }, `! ${why.join('; ')}`) : why.join('; ') || '–',
    ]),
  );
}
