import { resolve } from 'node:path';
import { ConfigError } from '../../core/errors.ts';
import { mlflowLog } from './mlflow.ts';
import type { RunLog } from './run-log.ts';
import { tensorBoardLog } from './tensorboard.ts';

/**
 * The log that a text names: `tensorboard:<folder>`, or `mlflow:<address>` of a tracking server.
 * @throws {ConfigError} when it names none, saying what was expected.
 */
export function openRunLog(text: string): RunLog {
  const colon = text.indexOf(':');
  const [kind, place] = [text.slice(0, colon), text.slice(colon + 1)];
  if (kind === 'tensorboard' && place !== '') return tensorBoardLog(resolve(place));
  if (kind === 'mlflow') return mlflowLog(serverAddress(place));
  throw new ConfigError(
    `--log: expected tensorboard:<folder> or mlflow:<address of a tracking server>, got ${JSON.stringify(text)}`,
  );
}

function serverAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new ConfigError(
      `--log: expected mlflow:http://… of a tracking server (mlflow server), for MLflow gives up folders of files, got ${JSON.stringify(text)}`,
    );
  if (url.username || url.password)
    throw new ConfigError(
      '--log: expected credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD or in MLFLOW_TRACKING_TOKEN, got some in the address',
    );
  return text;
}
