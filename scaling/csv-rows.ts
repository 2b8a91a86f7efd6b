/** A CSV file with a heading line, as text. */
export interface CsvRows {
  readonly names: readonly string[];
  /** Lines that are not blank, with their number in the file. */
  readonly rows: readonly { readonly cells: readonly string[]; readonly line: number }[];
}

/** Splits a CSV file into cells. A cell may stand in double quotes, doubled inside; it may not hold a line break. */
export function csvRows(text: string): CsvRows {
  const [head = '', ...lines] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  return {
    names: csvCells(head),
    rows: lines
      .map((content, at) => ({ content, line: at + 2 }))
      .filter(({ content }) => content.trim() !== '')
      .map(({ content, line }) => ({ cells: csvCells(content), line })),
  };
}

function csvCells(line: string): readonly string[] {
  const cells: string[] = [];
  for (const match of line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    cells.push(match[1] === undefined ? (match[2] ?? '') : match[1].replaceAll('""', '"'));
  return cells;
}
