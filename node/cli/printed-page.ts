/** A page to print: one HTML file with everything in it, for A4, black on white. Nothing is loaded from anywhere. */
import { renderSVG } from "uqr";

/** Markup; what is put into it by {@link html} is escaped unless it is markup too. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export function html(parts: TemplateStringsArray, ...values: readonly (string | number | Markup | Markup[])[]): Markup {
  const texts = values.map((value) => {
    if (value instanceof Markup) return value.text;
    if (Array.isArray(value)) return value.map(({ text }) => text).join("");
    return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  });
  return new Markup(parts.map((part, index) => part + (texts[index] ?? "")).join(""));
}

/** A kit's file or a share's, for a QR code: no longer than it has to be. */
export const withoutComments = (text: string): string =>
  text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .join("\n");

/** A QR code of the text, 15 % of which may be dirty or torn. */
export const qrCode = (text: string): Markup => new Markup(renderSVG(text, { ecc: "M", border: 2 }));

/** An id as people read and type it. */
export const inGroups = (id: string): string => id.replace(/.{4}(?=.)/g, "$& ");

/** Below the site id of a kit whose words do not tell it. */
export const replacedNote = html`<p>
  This kit came in place of an earlier one, so its words do not tell the site id. Type it where a command asks for it,
  or give it with <code>--site-id</code>.
</p>`;

/** The numbered words, in the order in which they are read. */
export const wordGrid = (words: readonly string[]): Markup =>
  html`<ol class="words">
    ${words.map((word, index) => html`<li><b>${index + 1}</b> ${word}</li>`)}
  </ol>`;

/** The whole page. */
export function printedPage(title: string, body: Markup): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${title}</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        ${body}
      </body>
    </html> `.text;
}

const STYLE = `
@page { size: A4; margin: 12mm 14mm; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 182mm; font: 9pt/1.27 "Liberation Sans", Arial, "DejaVu Sans", sans-serif; color: #000; background: #fff; }
h1 { font-size: 19pt; margin: 0 0 1mm; }
h2 { font-size: 11pt; margin: 2.6mm 0 1mm; }
p { margin: 0 0 1.5mm; }
.top { display: grid; grid-template-columns: 1fr 44mm; gap: 6mm; }
.top svg { width: 44mm; height: 44mm; }
.warning { border: 0.6mm solid #000; padding: 2mm 3mm; margin: 2mm 0; }
.words { list-style: none; margin: 0; padding: 2mm 3mm; border: 0.3mm solid #000; display: grid; grid-template-columns: repeat(4, 1fr); gap: 1.6mm 4mm; font: 13pt "Liberation Mono", "DejaVu Sans Mono", monospace; }
.words b { display: inline-block; width: 7mm; font: 9pt sans-serif; text-align: right; margin-right: 1mm; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.8mm 4mm; margin: 0; }
dt { font-weight: bold; }
dd { margin: 0; overflow-wrap: anywhere; }
code, .mono { font-family: "Liberation Mono", "DejaVu Sans Mono", monospace; font-size: 8pt; overflow-wrap: anywhere; }
ol.steps { margin: 0; padding-left: 6mm; }
ol.steps li { margin-bottom: 1mm; }
h1, h2, .words, dl, .warning, ol.steps li { break-inside: avoid; }
@media screen { body { padding: 8mm; } }
`;
