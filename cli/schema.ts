import { defineCommand } from 'citty';
import { z } from 'zod';
import { studyFileSchema } from '../study/study-file.ts';

/** `ridgepoint schema > study.schema.json`: for editors that complete and check YAML. */
export const command = defineCommand({
  args: {},
  run() {
    console.log(JSON.stringify(z.toJSONSchema(studyFileSchema, { io: 'input' }), null, 2));
  },
});
