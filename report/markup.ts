/** Finished HTML or SVG. Only this file makes it, so text cannot reach a page unescaped. */
export interface Markup {
  readonly markup: string;
}

/** What goes into an element: strings and numbers are escaped; null, undefined and false are nothing. */
export type Content = Markup | string | number | null | undefined | false | readonly Content[];
/** Attribute values; null, undefined and false leave the attribute out, true writes it bare. */
export type Attributes = Readonly<Record<string, string | number | boolean | null | undefined>>;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const voidElements = new Set(['meta', 'link', 'br', 'hr', 'col', 'input']);

/** Text with the five characters that mean something to HTML replaced, for content and quoted attributes alike. */
function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] as string);
}

/** One HTML or SVG element. Names of elements and attributes are the program's own and are not escaped. */
export function element(name: string, attributes: Attributes = {}, ...children: readonly Content[]): Markup {
  const opening = `<${name}${Object.entries(attributes).map(attribute).join('')}>`;
  return { markup: voidElements.has(name) ? opening : `${opening}${render(children)}</${name}>` };
}

/** An inline stylesheet. @param css the program's own text; never data. */
export function stylesheet(css: string): Markup {
  return { markup: `<style>${css}</style>` };
}

/** A whole HTML document. */
export function htmlDocument(language: string, ...children: readonly Content[]): string {
  return `<!doctype html>\n${element('html', { lang: language }, ...children).markup}\n`;
}

function attribute([name, value]: readonly [string, Attributes[string]]): string {
  if (value === null || value === undefined || value === false) return '';
  return value === true ? ` ${name}` : ` ${name}="${escapeText(String(value))}"`;
}

function render(content: Content): string {
  if (content === null || content === undefined || content === false) return '';
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return String(content);
  return 'markup' in content ? content.markup : content.map(render).join('');
}
