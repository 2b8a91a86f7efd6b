import { defineCommand } from 'citty';
import { writeFileSync } from 'node:fs';
import { ConfigError } from '../core/errors.ts';

const template = (
  name: string,
) => `# ${name}: see docs/configuration.md, or "ridgepoint schema" for an editor that completes and checks it.
study: ${name}
data: rendered                       # generated pictures; or ./photos (one folder a class), or {format: csv, path: …}
targets:
  laptop: {device: cpu, limit: p50 < 2ms}
family: {laptop: [1x, 2x, 4x]}       # multiples of the base's latency; the limit holds for the largest
budget: {time: 5min}
`;

/** `ridgepoint init [study.yaml]`: a study file to start from. */
export const command = defineCommand({
  args: { path: { type: 'positional', description: 'file to write', default: 'study.yaml', required: false } },
  run({ args }) {
    const name = (args.path.split(/[\\/]/).at(-1) ?? 'study').replace(/\.ya?ml$/, '') || 'study';
    try {
      writeFileSync(args.path, template(name), { flag: 'wx' });
    } catch (cause) {
      const reason =
        (cause as NodeJS.ErrnoException).code === 'EEXIST' ? 'it exists already' : (cause as Error).message;
      throw new ConfigError(`${args.path}: expected to write a new file, but ${reason}`, { cause });
    }
    console.log(`wrote ${args.path}; next: ridgepoint check ${args.path}, then ridgepoint search ${args.path}`);
  },
});
