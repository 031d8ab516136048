// What a screen reader hears of a stream: whole sentences, seconds apart, never single characters.

import { announce, h, words } from "./dom.js";

const EVERY_MS = 3000;
const SENTENCE = /^[\s\S]*[。！？!?\n」]/;

/** Reads the first of several answers out as it is written. */
export class Reading {
  #rest = "";
  #saidAt = 0;

  begin() {
    this.#rest = "";
    this.#saidAt = performance.now();
    announce(words("書いています。", "Writing."));
  }

  add(text) {
    this.#rest += text;
    const whole = this.#rest.match(SENTENCE)?.[0];
    if (!whole || performance.now() - this.#saidAt < EVERY_MS) return;
    this.#rest = this.#rest.slice(whole.length);
    this.#saidAt = performance.now();
    announce(h("span", { lang: "ja" }, whole));
  }

  end(characters, count) {
    const rest = h("span", { lang: "ja" }, this.#rest);
    this.#rest = "";
    const said = count > 1
      ? words(`${count} 案を書き終えました。`, `${count} drafts are written.`)
      : words(`書き終えました。${characters} 字。`, `Written: ${characters} characters.`);
    announce([rest, " ", said]);
  }
}
