// The first page: go on from a text, as often as one likes, compare, and bind what one likes to the text.

import { Answer } from "../answer.js";
import { announce, button, copy, field, figure, fill, h, join, words } from "../dom.js";
import { OPENINGS } from "../openings.js";
import { Reading } from "../reading.js";
import { SamplingControls } from "../sampling.js";
import { tokensOf } from "../tokens.js";

const ALTERNATIVES = 5;
const VERTICAL = "tsuzuri.vertical";

let page = null;

export async function mount(element, api, rest) {
  page = new Continuation(element, api);
  await page.begin(rest);
}

/** A link that is opened in the same window brings its text and settings too. */
export const show = (rest) => rest && page.open(new URLSearchParams(rest));

class Continuation {
  #api;
  #element;
  #controls = new SamplingControls();
  #reading = new Reading();
  #answers = [];
  #written = 0;
  #running = null;
  #models = new Map();
  #before = [];

  constructor(element, api) {
    this.#api = api;
    this.#element = element;
    this.text = h("textarea", {
      id: "text", lang: "ja", rows: "5", spellcheck: "false",
      placeholder: words("ここに書き出しを。", "Begin here, in Japanese."),
      input: () => this.#refresh(),
      keydown: (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#write();
      },
    });
    this.model = h("select", { id: "model", change: () => this.#prefer() });
    this.go = h("button", { type: "button", class: "primary", id: "go" });
    this.go.addEventListener("click", () => (this.#running ? this.#stop() : this.#write()));
    this.back = button(words("ひとつ戻す", "Undo"), () => this.#undo(), { hidden: true, id: "undo" });
    this.count = h("span", { class: "note" });
    this.left = h("a", { class: "note left", href: "#/usage" });
    this.alarm = h("div", { class: "alarm", role: "alert", hidden: true });
    this.answers = h("div", { class: "answers" });
    this.heading = h("h2", { hidden: true, id: "answers-title" }, words("続き", "Continuations"));
  }

  async begin(rest) {
    fill(this.#element, h("h1", { class: "unseen" }, words("続きを書く", "Continue")),
      h("div", { class: "desk" }, this.#manuscript(), this.#side(),
        h("section", { class: "drafts", "aria-labelledby": "answers-title" }, this.heading, this.answers)));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#running) this.#stop();
    });
    this.#turn(localStorage.getItem(VERTICAL) === "yes");
    this.open(new URLSearchParams(rest));
    this.#api.addEventListener("key", () => this.#load());
    await this.#load();
  }

  #manuscript() {
    this.vertical = button(words("縦書き", "Vertical"), () => this.#turn(!this.#isVertical()), {
      id: "vertical", "aria-pressed": "false",
    });
    return h("div", { class: "manuscript" },
      h("div", { class: "openings", role: "group", "aria-label": words("書き出しの例", "Texts to begin with") },
        OPENINGS.map((opening) => button(opening.name, () => {
          this.#replace(opening.text);
          this.text.focus();
        }))),
      h("div", { class: "sheet bound" },
        h("label", { for: "text", class: "unseen" }, words("書き出し", "The text so far")), this.text,
        h("div", { class: "row under" }, this.count, this.back, this.vertical,
          button(words("リンク", "Link"), (event) => copy(this.#link(), event.currentTarget), {
            title: words("この書き出しと設定で開くリンク", "A link that opens this text with these settings"),
          }))),
      h("div", { class: "row go" }, this.go,
        h("span", { class: "note keys" }, words("Ctrl + Enter で書く、Esc で止める", "Ctrl + Enter writes, Esc stops")),
        this.left),
      this.alarm);
  }

  #side() {
    const wide = matchMedia("(min-width: 60rem)");
    const details = h("details", { class: "side", open: wide.matches },
      h("summary", {}, words("書きかた", "How to write")),
      field(words("モデル", "Model"), this.model), this.#controls.element);
    wide.addEventListener("change", () => (details.open = wide.matches));
    return details;
  }

  /** The models that the key may use. */
  async #load() {
    const chosen = this.model.value;
    try {
      const { data } = await this.#api.json("/v1/models");
      this.#models = new Map(data.map((model) => [model.id, model]));
      this.#hush();
    } catch (failure) {
      this.#models = new Map();
      this.#tell(failure);
    }
    fill(this.model, [...this.#models.keys()].map((id) => h("option", { value: id }, id)));
    if (this.#models.has(chosen)) this.model.value = chosen;
    this.#prefer();
    this.#refresh();
  }

  #prefer() {
    this.#controls.prefer(this.#models.get(this.model.value)?.tsuzuri?.defaults ?? {});
  }

  /** Write on from `prompt`; the drafts stand before those written earlier. */
  async #write(prompt = this.text.value) {
    if (this.#running || !this.#models.size) return;
    this.#hush();
    this.#running = new AbortController();
    this.#refresh();
    const model = this.model.value;
    const request = { model, ...this.#controls.request() };
    const answers = Array.from({ length: request.n }, (_, index) => this.#place(prompt, request, index));
    this.heading.hidden = false;
    answers[0].element.scrollIntoView({ block: "nearest" });
    this.#reading.begin();
    const capabilities = this.#models.get(model).tsuzuri?.capabilities ?? ["logprobs"];
    const asked = { prompt, ...request, ...(capabilities.includes("logprobs") ? { logprobs: ALTERNATIVES } : {}) };
    try {
      const told = await this.#follow(asked, answers);
      for (const answer of answers) answer.end(answer.reason, told);
      this.#reading.end([...answers[0].text].length, answers.length);
    } catch (failure) {
      if (this.#running.signal.aborted) {
        for (const answer of answers) answer.end("stopped");
        announce(words("止めました。", "Stopped."));
      } else this.#broken(failure, answers);
    } finally {
      this.#running = null;
      this.#refresh();
    }
  }

  /** Write the events of a stream into the answers; what the last ones told beside the text. */
  async #follow(asked, answers) {
    const told = {};
    for await (const event of this.#api.stream("/v1/completions", asked, this.#running.signal)) {
      if (event.timings) told.timings = event.timings;
      if (event.tsuzuri?.filtered) told.filtered = event.tsuzuri.filtered;
      for (const { index, text, logprobs, finish_reason } of event.choices) {
        answers[index].write(text, tokensOf(logprobs));
        if (index === 0) this.#reading.add(text);
        if (finish_reason) answers[index].reason = finish_reason;
      }
    }
    return told;
  }

  #broken(failure, answers) {
    for (const answer of answers) {
      if (answer.text) answer.fail(failure);
      else this.#remove(answer);
    }
    this.#tell(failure);
  }

  #place(prompt, request, index) {
    this.#written += 1;
    const own = { ...request, seed: request.seed + index };
    const answer = new Answer({ number: this.#written, prompt, request: own }, {
      bind: () => this.#bind(answer),
      branch: (from, text) => this.#write(from.prompt + text),
      remove: () => this.#remove(answer),
    });
    this.#answers.push(answer);
    const first = this.answers.querySelector(":scope > :not(.writing)");
    this.answers.insertBefore(answer.element, first);
    return answer;
  }

  #remove(answer) {
    this.#answers = this.#answers.filter((one) => one !== answer);
    answer.element.remove();
    this.heading.hidden = !this.#answers.length;
  }

  /** The draft becomes part of the text. */
  #bind(answer) {
    this.#replace(answer.prompt + answer.text);
    announce(words("本文に綴じました。", "Bound to the text."));
    this.text.focus();
    this.text.setSelectionRange(this.text.value.length, this.text.value.length);
    this.text.scrollTop = this.text.scrollHeight;
    this.text.scrollIntoView({ block: "nearest" });
  }

  #replace(text) {
    if (this.text.value) this.#before.push(this.text.value);
    this.text.value = text;
    this.#refresh();
  }

  #undo() {
    this.text.value = this.#before.pop() ?? "";
    this.#refresh();
    this.text.focus();
  }

  #stop() {
    this.#running.abort();
  }

  #refresh() {
    const length = [...this.text.value].length;
    fill(this.count, words(`${length} 字`, `${length} characters`));
    this.back.hidden = !this.#before.length;
    const left = this.#api.tokensLeft;
    this.left.hidden = left === null;
    fill(this.left, left === null ? null : join(words("今日の残り ", "Left today: "), figure(left), words(" トークン", " tokens")));
    this.go.disabled = !this.#models.size;
    this.go.classList.toggle("stops", Boolean(this.#running));
    if (this.#running) fill(this.go, words("止める", "Stop"));
    else if (this.#answers.at(-1)?.prompt === this.text.value) fill(this.go, words("もう一案書く", "Write another draft"));
    else fill(this.go, words("続きを書く", "Continue the text"));
  }

  #isVertical = () => this.#element.classList.contains("vertical");

  #turn(isVertical) {
    this.#element.classList.toggle("vertical", isVertical);
    this.vertical.setAttribute("aria-pressed", String(isVertical));
    localStorage.setItem(VERTICAL, isVertical ? "yes" : "no");
  }

  /** Settings and text travel behind the #, which browsers do not send to the server. */
  #link() {
    const query = new URLSearchParams({ text: this.text.value, with: JSON.stringify(this.#controls.request()) });
    return new URL(`#/continue?${query}`, location.href).href;
  }

  open(query) {
    if (query.has("text")) this.#replace(query.get("text"));
    else if (!this.text.value) this.#replace(OPENINGS[0].text);
    try {
      this.#controls.show(JSON.parse(query.get("with") ?? "{}"));
    } catch {
      // A link that was cut on its way still opens its text.
    }
  }

  #tell(failure) {
    const asks = failure.status === 401
      ? button(words("キーを入れる", "Enter a key"), () => this.#api.dispatchEvent(new Event("ask"))) : null;
    const detail = failure.detail && failure.status !== 401
      ? h("details", {}, h("summary", {}, words("サーバーの言葉", "What the server said")), h("p", { lang: "en" }, failure.detail))
      : null;
    fill(this.alarm, h("p", {}, failure.words), asks, detail);
    this.alarm.hidden = false;
  }

  #hush() {
    this.alarm.hidden = true;
  }
}
