import { defineCommand } from 'citty';
import { exportFamily } from '../study/export.ts';

/** `ridgepoint export runs/x --to folder`: the delivered files alone, checked against the manifest. */
export const command = defineCommand({
  args: {
    folder: { type: 'positional', description: "a finished study's folder", required: true },
    to: { type: 'string', description: 'new folder to write', required: true },
    target: { type: 'string', description: 'only this target' },
    size: { type: 'string', description: 'only this size' },
    json: { type: 'boolean', description: 'one JSON object on stdout' },
  },
  run({ args }) {
    const files = exportFamily(args.folder, args.to, { target: args.target, size: args.size });
    if (args.json) console.log(JSON.stringify({ schema: 1, to: args.to, files }));
    else console.log(files.map((file) => `${args.to}/${file}`).join('\n'));
  },
});
