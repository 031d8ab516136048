// How text is sampled: the controls, what each of them does, and what they ask of the API.

import { button, field, fill, h, words } from "./dom.js";

/** Controls with a range; `value` is used until a release says what it prefers. */
const RANGES = [
  {
    name: "max_tokens", value: 200, min: 8, max: 1024, step: 8,
    label: words("長さ", "Length"),
    help: words("書き足すトークンの数の上限。一トークンはおよそ一、二文字です。",
      "Tokens written at most; one is about one or two Japanese characters."),
  },
  {
    name: "temperature", value: 0.9, min: 0, max: 2, step: 0.05,
    label: words("温度", "Temperature"),
    help: words("低いほど手堅く、高いほど意外に。0 ならいつも一番ありそうな字を選びます。",
      "Low is safe, high is surprising; 0 always takes the likeliest."),
  },
  {
    name: "min_p", value: 0.02, min: 0, max: 0.5, step: 0.01,
    label: words("最小の見込み（min-p）", "Floor (min-p)"),
    help: words("一番ありそうな候補の、この割合に届かない候補は選びません。",
      "Leaves out what is less likely than this share of the likeliest."),
  },
  {
    name: "top_p", value: 1, min: 0.05, max: 1, step: 0.01,
    label: words("上位の合計（top-p）", "Nucleus (top-p)"),
    help: words("ありそうな順に、確率の合計がここに達するまでの候補から選びます。1 で制限なし。",
      "Chooses among the likeliest that together reach this probability; 1 is no limit."),
  },
  {
    name: "repetition_penalty", value: 1.15, min: 1, max: 2, step: 0.01,
    label: words("繰り返しを抑える", "Repetition penalty"),
    help: words("もう書いた字を選びにくくします。1 で何もしません。",
      "Makes what was already written less likely; 1 does nothing."),
  },
  {
    name: "n", value: 1, min: 1, max: 6, step: 1,
    label: words("案の数", "Drafts"),
    help: words("一度に書く案。並べて見比べられます。", "Written at once, to compare side by side."),
  },
];

/** Temperature, floor and penalty that belong together. */
const PRESETS = [
  { name: words("手堅く", "Steady"), values: { temperature: 0.7, min_p: 0.05, top_p: 1, repetition_penalty: 1.15 } },
  { name: words("ふつう", "Usual"), values: null },
  { name: words("奔放に", "Free"), values: { temperature: 1.2, min_p: 0.02, top_p: 0.98, repetition_penalty: 1.1 } },
];

/** The controls. `element` to show, `request()` for the API, `prefer()` for a release's own defaults. */
export class SamplingControls {
  #inputs = new Map();
  #touched = new Set();
  #preferred = Object.fromEntries(RANGES.map(({ name, value }) => [name, value]));
  #seed = h("input", { type: "number", min: "0", step: "1", inputmode: "numeric", placeholder: "—" });
  #stop = h("textarea", { rows: "2", spellcheck: "false", lang: "ja" });

  constructor() {
    this.element = h("div", { class: "sampling" },
      h("div", { class: "presets", role: "group", "aria-label": words("書きぶり", "Manner") },
        PRESETS.map(({ name, values }) => button(name, () => (values ? this.show(values) : this.#forget())))),
      RANGES.map((range) => this.#range(range)),
      field(words("種（seed）", "Seed"), this.#seed, words(
        "くじの引きかた。同じ種と設定なら、たいてい同じ文章になります。空なら毎回ちがいます。",
        "How lots are drawn: the same seed and settings mostly write the same text; empty: another each time.")),
      field(words("終わりの言葉", "Stop texts"), this.#stop, words(
        "一行に一つ。ここに書いた言葉が現れる手前で終わります。",
        "One a line. Writing ends before any of these.")));
  }

  /** What a release prefers is what is shown wherever the reader has not chosen. */
  prefer(defaults) {
    const known = { ...defaults };
    if (known.max_new_tokens) known.max_tokens = Math.min(known.max_new_tokens, RANGES[0].value);
    this.#preferred = Object.fromEntries(RANGES.map(({ name, value }) => [name, known[name] ?? value]));
    for (const { name } of RANGES) if (!this.#touched.has(name)) this.#put(name, this.#preferred[name]);
  }

  /** The parameters of a completion. A seed is always given, so that the answer can be written again. */
  request() {
    const stop = this.#stop.value.split("\n").filter((line) => line.trim());
    const seed = this.#seed.value === "" ? crypto.getRandomValues(new Uint32Array(1))[0] : Number(this.#seed.value);
    return {
      ...Object.fromEntries(RANGES.map(({ name }) => [name, this.#number(name)])),
      seed,
      ...(stop.length ? { stop } : {}),
    };
  }

  /** Show settings as the reader's choice. */
  show(settings) {
    for (const { name } of RANGES) {
      if (typeof settings[name] !== "number") continue;
      this.#touched.add(name);
      this.#put(name, settings[name]);
    }
    if (settings.seed !== undefined) this.#seed.value = settings.seed;
    if (settings.stop) this.#stop.value = [settings.stop].flat().join("\n");
  }

  /** Back to the manner that the release prefers. */
  #forget() {
    for (const name of Object.keys(PRESETS[0].values)) {
      this.#touched.delete(name);
      this.#put(name, this.#preferred[name]);
    }
  }

  #number = (name) => Number(this.#inputs.get(name).input.value);

  #put(name, value) {
    const { input, output } = this.#inputs.get(name);
    input.value = value;
    fill(output, String(Number(input.value)));
  }

  #range({ name, value, min, max, step, label, help }) {
    const output = h("output", {}, String(value));
    const touch = () => {
      this.#touched.add(name);
      fill(output, String(Number(input.value)));
    };
    const input = h("input", { type: "range", id: `sampling-${name}`, min, max, step, value, input: touch });
    output.htmlFor = input.id;
    this.#inputs.set(name, { input, output });
    const element = field(label, input, help);
    element.classList.add("range");
    element.querySelector("label").after(output);
    return element;
  }
}
