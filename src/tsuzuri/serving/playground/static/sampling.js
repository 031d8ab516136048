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
  #preferred = Object.fromEntries(RANGES.map(({ name, value }) => [name, value]));
  #seed = h("input", { type: "number", min: "0", step: "1", inputmode: "numeric", placeholder: "—" });
  #stop = h("textarea", { rows: "2", spellcheck: "false", lang: "ja" });

  constructor() {
    this.element = h("div", { class: "sampling" },
      h("div", { class: "presets", role: "group", "aria-label": words("書きぶり", "Manner") },
        PRESETS.map(({ name, values }) => button(name, () => this.#set(values ?? this.#manner())))),
      RANGES.map((range) => this.#range(range)),
      field(words("種（seed）", "Seed"), this.#seed, words(
        "同じ種なら、同じ設定で同じ文章になります。空なら毎回ちがいます。",
        "The same seed with the same settings writes the same text; empty: another each time.")),
      field(words("終わりの言葉", "Stop texts"), this.#stop, words(
        "一行に一つ。ここに書いた言葉が現れる手前で終わります。",
        "One a line. Writing ends before any of these.")));
  }

  /** What a release prefers becomes the defaults, and what is shown where nothing was touched. */
  prefer(defaults) {
    const before = this.#preferred;
    const known = { ...defaults };
    if (known.max_new_tokens) known.max_tokens = Math.min(known.max_new_tokens, RANGES[0].value);
    this.#preferred = Object.fromEntries(RANGES.map(({ name, value }) => [name, known[name] ?? value]));
    const untouched = RANGES.filter(({ name }) => this.#number(name) === before[name]);
    this.#set(Object.fromEntries(untouched.map(({ name }) => [name, this.#preferred[name]])));
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

  /** Show the settings of a request. */
  show(request) {
    this.#set(request);
    if (request.seed !== undefined) this.#seed.value = request.seed;
    if (request.stop) this.#stop.value = [request.stop].flat().join("\n");
  }

  #number = (name) => Number(this.#inputs.get(name).value);

  #manner() {
    const { temperature, min_p, top_p, repetition_penalty } = this.#preferred;
    return { temperature, min_p, top_p, repetition_penalty };
  }

  #set(values) {
    for (const { name } of RANGES) {
      if (values[name] === undefined) continue;
      const input = this.#inputs.get(name);
      input.value = values[name];
      input.dispatchEvent(new Event("input"));
    }
  }

  #range({ name, value, min, max, step, label, help }) {
    const output = h("output", {}, String(value));
    const input = h("input", {
      type: "range", id: `sampling-${name}`, min, max, step, value,
      input: () => fill(output, String(Number(input.value))),
    });
    output.htmlFor = input.id;
    this.#inputs.set(name, input);
    const element = field(label, input, help);
    element.classList.add("range");
    element.querySelector("label").after(output);
    return element;
  }
}
