import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  dataArgument,
  listArgument,
  logArgument,
  numberArgument,
  positiveArgument,
  uncheckedDataArgument,
} from '../../cli/arguments.ts';
import { ConfigError } from '../../core/errors.ts';
import { dataSourceSchema } from '../../data/source.ts';
import { textSourceSchema } from '../../data/text.ts';
import { fileFolder } from '../cases/file-folder.ts';

describe('arguments', () => {
  it('lists take repeats and commas, each value once', () => {
    const raw = ['model.onnx', '--on', 'cpu', '--batch', '4', '--on=webgpu,cpu'];
    expect(listArgument(raw, 'on', 'cpu')).toEqual(['cpu', 'webgpu']);
    expect(listArgument(['model.onnx'], 'on', 'cpu')).toEqual(['cpu']);
    expect(() => listArgument(['--on', 'cpu,'], 'on', 'cpu')).toThrow(/--on: expected values, got "cpu,"/);
  });

  it('a log is a form of lines, a place of records, or both', () => {
    expect(logArgument('text')).toEqual({ lines: 'text' });
    expect(logArgument('json,tensorboard:tb')).toEqual({ lines: 'json', records: 'tensorboard:tb' });
    expect(logArgument('mlflow:http://host:5000')).toEqual({ lines: 'text', records: 'mlflow:http://host:5000' });
    expect(() => logArgument('text,json')).toThrow(/--log: expected text or json, .* got text,json/);
    expect(() => logArgument('mlflow:http://a,tensorboard:b')).toThrow(/one place of records/);
  });

  it('data is text, YAML in braces, or a YAML file', () => {
    expect(uncheckedDataArgument('./photos')).toBe('./photos');
    expect(uncheckedDataArgument('{format: csv, path: digits.csv, range: [0, 16]}')).toEqual({
      format: 'csv',
      path: 'digits.csv',
      range: [0, 16],
    });
    const file = join(fileFolder(), 'data.yaml');
    writeFileSync(file, 'format: idx\npath: mnist\n');
    expect(uncheckedDataArgument(file)).toEqual({ format: 'idx', path: 'mnist' });
    expect(() => uncheckedDataArgument('{format: csv')).toThrow(/--data: expected YAML, got {format: csv:/);
  });

  it('data is of the sources a command takes, and what is not is refused in one way', () => {
    expect(dataArgument(dataSourceSchema, './photos')).toMatchObject({ format: 'folder', path: './photos' });
    expect(dataArgument(textSourceSchema, 'grammar')).toMatchObject({ format: 'grammar' });
    expect(() => dataArgument(dataSourceSchema, 'photos')).toThrow(/^--data: expected "rendered".* got "photos"/);
    expect(() => dataArgument(dataSourceSchema, '{format: csv')).toThrow(/^--data: expected YAML/);
  });

  it.each([
    [() => numberArgument('--batch', '1.5', 1), /--batch: expected a whole number of at least 1, got "1.5"/],
    [() => numberArgument('--batch', '0', 1), /at least 1, got "0"/],
    [() => numberArgument('--batch', ' ', 0), ConfigError],
    [() => positiveArgument('--width', '-1'), /--width: expected a positive number, got "-1"/],
    [() => positiveArgument('--width', 'wide'), ConfigError],
  ])('numbers out of range name their flag (%#)', (parse, error) => {
    expect(parse).toThrow(error);
  });
});
