import { element } from '../report/markup.ts';
import { note, type Page } from './layout.ts';

/** What went wrong, to a person. */
export function messagePage(status: number, text: string): Page {
  return { title: String(status), body: [element('h1', {}, String(status)), element('p', {}, text)] };
}

/** Asks for the token. @param options.next where to go then. */
export function signInPage({ next, wasWrong }: { readonly next: string; readonly wasWrong: boolean }): Page {
  return {
    title: 'Sign in',
    body: [
      element('h1', {}, 'Sign in'),
      wasWrong && element('p', { class: 'problem', role: 'alert' }, 'That is not the token.'),
      element(
        'form',
        { class: 'filter', method: 'post', action: '/sign-in' },
        element('input', { type: 'hidden', name: 'next', value: next }),
        element(
          'label',
          {},
          'token',
          element('input', {
            type: 'password',
            name: 'token',
            required: true,
            autofocus: true,
            autocomplete: 'current-password',
            size: 44,
          }),
        ),
        element('button', { type: 'submit' }, 'Sign in'),
      ),
      note('The terminal that serves this page said it, or whoever started it chose it.'),
    ],
  };
}
