// What pages are made of: elements, and texts in two languages that follow the reader's choice.

class Words {
  constructor(ja, en) {
    this.ja = ja;
    this.en = en;
  }
}

/** A text in Japanese and in English; wherever `h` puts it, it changes with the language. */
export const words = (ja, en) => new Words(String(ja), String(en));

/** A number as the reader writes numbers. */
export const figure = (value, options) =>
  words(
    new Intl.NumberFormat("ja", options).format(value),
    new Intl.NumberFormat("en", options).format(value),
  );

/** Money. */
export const yen = (value) => {
  const { ja, en } = figure(value, { maximumFractionDigits: 2 });
  return words(`${ja} 円`, `¥${en}`);
};

/** Texts and `words` one after another. */
export const join = (...parts) =>
  words(...["ja", "en"].map((name) => parts.map((part) => part?.[name] ?? part).join("")));

/** An instant in seconds since 1970, in the reader's own time. */
export function instant(seconds) {
  if (seconds === null || seconds === undefined) return words("なし", "none");
  const options = { dateStyle: "medium", timeStyle: "short" };
  const [ja, en] = ["ja", "en"].map((name) => new Intl.DateTimeFormat(name, options));
  return words(ja.format(seconds * 1000), en.format(seconds * 1000));
}

const bound = new Set();
const gone = new FinalizationRegistry((item) => bound.delete(item));

/** Show `words` by `show(node, text)`, now and after each change of language. */
function bind(node, text, show) {
  show(node, text[language()]);
  const item = { node: new WeakRef(node), text, show };
  bound.add(item);
  gone.register(node, item);
}

export const language = () => document.documentElement.lang;

/** Show everything in another language. */
export function setLanguage(name) {
  document.documentElement.lang = name;
  localStorage.setItem("tsuzuri.language", name);
  for (const item of bound) {
    const node = item.node.deref();
    if (node) item.show(node, item.text[name]);
    else bound.delete(item);
  }
}

const put = (node, text) => (node.data = text);

function append(element, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) for (const one of child) append(element, one);
  else if (child instanceof Words) {
    const node = document.createTextNode("");
    bind(node, child, put);
    element.append(node);
  } else element.append(child);
}

/** An element. Attributes may be functions (listeners, by their event's name), booleans, `words` or texts. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value instanceof Words) bind(element, value, (node, text) => node.setAttribute(name, text));
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

/** Put children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let serial = 0;
export const newId = (name) => `${name}-${++serial}`;

/** A labelled control with a word of explanation under it. */
export function field(label, control, help) {
  control.id ||= newId("field");
  const note = help && h("p", { class: "help", id: `${control.id}-help` }, help);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A button. */
export const button = (label, click, attributes = {}) =>
  h("button", { type: "button", click, ...attributes }, label);

/** Tell a screen reader something, once what it says now is said. */
export function announce(text) {
  const status = document.getElementById("status");
  fill(status, h("p", {}, text));
}

/** Copy a text, and say so on the button that was pressed. */
export async function copy(text, pressed) {
  await navigator.clipboard.writeText(text);
  const before = [...pressed.childNodes];
  fill(pressed, words("コピーしました", "Copied"));
  announce(words("コピーしました", "Copied"));
  setTimeout(() => pressed.replaceChildren(...before), 1600);
}

/** A table; each column is [title, how to show a row, class]. */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return h("p", { class: "empty" }, empty ?? words("まだありません。", "Nothing yet."));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows.map((row) =>
        h("tr", {}, columns.map(([, show, kind]) => h("td", { class: kind }, show(row))))))));
}
