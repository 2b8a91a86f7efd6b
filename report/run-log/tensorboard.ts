import { appendFile, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { endRecord, pointRecord, startRecords } from './event-file.ts';
import type { RunLog, RunStart } from './run-log.ts';

/**
 * A folder for `tensorboard --logdir`: a folder a run, by its name, with an event file a session. Another run of a
 * name that is taken gets a number.
 */
export function tensorBoardLog(folder: string): RunLog {
  return {
    async open(start, goesOn) {
      const known = await takenNames(folder, start.name);
      const name = goesOn ? (known.at(-1) ?? start.name) : freeName(start.name, known);
      const file = await eventFile(join(folder, name), start);
      await appendFile(file, startRecords(start));
      return {
        point: (point) => appendFile(file, pointRecord(point)),
        end: (end) => appendFile(file, endRecord(end)),
      };
    },
    async add(run) {
      const place = join(folder, run.name);
      if ((await namesIn(place)).some(isEventFile)) return;
      const file = await eventFile(place, run);
      const unfinished = join(place, 'unfinished.part');
      await writeFile(unfinished, Buffer.concat([startRecords(run), ...run.points.map(pointRecord), endRecord(run)]));
      await rename(unfinished, file);
    },
  };
}

const isEventFile = (name: string): boolean => name.startsWith(prefix);
const prefix = 'events.out.tfevents.';

/** A new file's path; TensorBoard reads the files of a folder in the order of their names. */
async function eventFile(place: string, { startedMs }: RunStart): Promise<string> {
  await mkdir(place, { recursive: true });
  return join(place, `${prefix}${String(Math.round(startedMs)).padStart(13, '0')}.ridgepoint.${process.pid}`);
}

/** `name`, `name-2`, … as far as they are there, in order. */
async function takenNames(folder: string, name: string): Promise<readonly string[]> {
  const taken: string[] = [];
  for (let next = name; (await namesIn(join(folder, next))).some(isEventFile); next = freeName(name, taken))
    taken.push(next);
  return taken;
}

function freeName(name: string, taken: readonly string[]): string {
  return taken.length === 0 ? name : `${name}-${taken.length + 1}`;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}
