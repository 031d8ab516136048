// One answer: its text as it is written, the view of its tokens, and what can be done with it.

import { announce, button, copy, figure, fill, h, join, newId, words } from "./dom.js";
import { doubt, isPart, stretches } from "./tokens.js";

const ENDS = {
  stop: words("書き終えた", "Ended by itself"),
  length: words("長さの上限", "Reached the length"),
  content_filter: words("書けない言葉の手前で終わった", "Ended by a filter"),
  stopped: words("止めた", "Stopped"),
  failed: words("途中まで", "Broken off"),
};
const percent = (probability) =>
  probability < 0.001
    ? words("0.1 % 未満", "under 0.1 %")
    : words(...["ja", "en"].map(() => `${(probability * 100).toFixed(probability < 0.1 ? 1 : 0)} %`));
const visible = (text) => text.replaceAll("\n", "⏎").replaceAll("　", "□").replaceAll(" ", "␣");

/** An answer on its sheet. `actions`: bind(text), branch(text), remove(). */
export class Answer {
  text = "";
  finish = null;
  #tokens = [];
  #body;
  #note;
  #peek;
  #view;
  #showsTokens = false;

  constructor({ number, prompt, request }, actions) {
    this.prompt = prompt;
    this.request = request;
    this.#body = h("div", { class: "text", lang: "ja", "aria-busy": "true", tabindex: "0", id: newId("answer") });
    this.#note = h("p", { class: "note" });
    this.#peek = h("div", { class: "peek", hidden: true });
    this.#view = button(words("確率を見る", "Show probabilities"), () => this.#toggle(), {
      "aria-pressed": "false", "aria-controls": this.#body.id,
    });
    this.actions = actions;
    const title = words(`第${kanji(number)}稿`, `Draft ${number}`);
    this.element = h("article", { class: "answer sheet bound writing", "aria-label": title },
      h("header", {},
        h("h3", {}, title),
        h("p", { class: "settings" }, settings(request)),
        button("×", () => actions.remove(this), { class: "close", "aria-label": words("この案を片づける", "Remove this draft") })),
      this.#body, this.#peek, this.#note, this.#tools());
    this.#body.setAttribute("aria-label", title);
    this.#body.setAttribute("role", "group");
  }

  /** More text, with its tokens. */
  write(text, tokens) {
    const follows = this.#follows();
    this.text += text;
    this.#tokens.push(...tokens);
    this.#body.append(text);
    if (follows) this.#body.scrollLeft = -this.#body.scrollWidth;
  }

  /** Nothing more comes. `reason` as in ENDS. */
  end(reason, { timings, filtered } = {}) {
    if (this.finish) return;
    this.finish = reason;
    this.#body.setAttribute("aria-busy", "false");
    this.element.classList.remove("writing");
    const characters = [...this.text].length;
    const parts = [ENDS[reason] ?? ENDS.stop, " · ", figure(characters), words(" 字", " characters")];
    if (timings?.predicted_per_second)
      parts.push(" · ", figure(Math.round(timings.predicted_per_second)), words(" トークン/秒", " tokens/s"));
    const masked = Object.values(filtered ?? {}).reduce((sum, count) => sum + count, 0);
    if (masked) parts.push(" · ", words(`伏せた箇所 ${masked}`, `${masked} masked`));
    fill(this.#note, join(...parts));
    this.#view.disabled = !this.#tokens.length;
    if (this.#showsTokens) this.#draw();
    else this.#body.normalize();
  }

  /** What went wrong, in place of the rest. */
  fail(failure) {
    this.end("failed");
    this.#note.append(" ");
    this.#note.append(h("span", { class: "alarm", role: "alert" }, failure.words));
  }

  #tools() {
    const whole = () => this.prompt + this.text;
    const share = navigator.share
      ? button(words("共有", "Share"), () => navigator.share({ text: whole() }).catch(() => {}))
      : button(words("保存", "Save"), () => save(whole()));
    return h("div", { class: "row tools-of-answer" },
      button(words("綴じる", "Bind"), () => this.actions.bind(this), {
        class: "thread", title: words("この案を本文に綴じて、続きを書く", "Add this draft to the text, and go on from there"),
      }),
      this.#view,
      button(words("コピー", "Copy"), (event) => copy(whole(), event.currentTarget)),
      share);
  }

  #toggle() {
    this.#showsTokens = !this.#showsTokens;
    this.#view.setAttribute("aria-pressed", String(this.#showsTokens));
    fill(this.#view, this.#showsTokens ? words("文章に戻す", "Show the text") : words("確率を見る", "Show probabilities"));
    this.#draw();
  }

  #draw() {
    this.#peek.hidden = true;
    if (!this.#showsTokens) {
      fill(this.#body, this.text);
      return;
    }
    const shown = stretches(this.text, this.#tokens);
    const marks = [];
    let before = "";
    for (const stretch of shown) {
      const mark = stretch.probability === null ? stretch.text : this.#mark(stretch, before);
      before += stretch.text;
      marks.push(mark);
    }
    fill(this.#body, marks);
    const first = this.#body.querySelector(".token");
    if (first) first.tabIndex = 0;
    announce(words("確率つきの表示です。矢印キーで一つずつ見られます。",
      "Probabilities are shown. The arrow keys go from token to token."));
  }

  #mark(stretch, before) {
    const show = () => this.#show(mark, stretch, before);
    const mark = h("span", {
      class: `token doubt-${doubt(stretch.probability)}`, tabindex: "-1", role: "button",
      "aria-label": join(visible(stretch.text), " ", percent(stretch.probability)),
      pointerenter: (event) => event.pointerType === "mouse" && show(),
      focus: show,
      keydown: (event) => this.#move(event, mark),
      click: () => mark.focus(),
    }, stretch.text);
    return mark;
  }

  /** The arrow keys go from token to token; one of them is in the order of the Tab key. */
  #move(event, mark) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const isVertical = getComputedStyle(this.#body).writingMode.startsWith("vertical");
    const forward = isVertical && event.key.match(/Left|Right/) ? -step : step;
    const tokens = [...this.#body.querySelectorAll(".token")];
    const next = tokens[tokens.indexOf(mark) + forward];
    if (!next) return;
    mark.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  #show(mark, stretch, before) {
    this.#body.querySelector(".token.shown")?.classList.remove("shown");
    mark.classList.add("shown");
    const written = stretch.tokens.at(-1).text;
    const rivals = stretch.tokens.length === 1 ? stretch.tokens[0].top : [];
    fill(this.#peek,
      h("p", {}, h("b", { lang: "ja" }, visible(stretch.text)), " ", percent(stretch.probability),
        stretch.tokens.length > 1
          ? words(`（${stretch.tokens.length} トークンで一つの字）`, ` (${stretch.tokens.length} tokens make it)`) : null),
      h("ol", {}, rivals.map(([text, logprob]) => h("li", { class: text === written ? "written" : null },
        button(isPart(text) ? words("字の一部", "part of one") : h("span", { lang: "ja" }, visible(text)), () => this.actions.branch(this, before + text), {
          disabled: isPart(text) || text === written,
          title: words("ここからこの字で書き直す", "Write on from here with this instead"),
        }),
        h("meter", { min: "0", max: "1", value: Math.exp(logprob), "aria-hidden": "true" }),
        h("span", { class: "figure" }, percent(Math.exp(logprob)))))));
    this.#peek.hidden = false;
  }

  /** Whether the last lines of a vertical text are in view, so that those to come should be. */
  #follows() {
    if (!this.element.closest(".vertical")) return false;
    const { scrollLeft, scrollWidth, clientWidth } = this.#body;
    return scrollWidth - clientWidth + scrollLeft < 60; // scrollLeft counts down from the right
  }
}

/** 1 to 99 as 一 to 九十九. */
function kanji(number) {
  const digits = ["", "一", "二", "三", "四", "五", "六", "七", "八", "九"];
  const tens = Math.floor(number / 10) % 10;
  return `${tens > 1 ? digits[tens] : ""}${tens ? "十" : ""}${digits[number % 10]}`;
}

/** The settings of a request that do anything. */
function settings({ model, temperature, min_p, top_p, repetition_penalty, seed }) {
  const line = (heat, penalty, root) => [
    model, `${heat} ${temperature}`, min_p > 0 && `min-p ${min_p}`, top_p < 1 && `top-p ${top_p}`,
    repetition_penalty !== 1 && `${penalty} ${repetition_penalty}`, `${root} ${seed}`,
  ].filter(Boolean).join(" · ");
  return words(line("温度", "繰り返し", "種"), line("temperature", "repetition", "seed"));
}

function save(text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: "tsuzuri.txt" });
  link.click();
  URL.revokeObjectURL(link.href);
}
