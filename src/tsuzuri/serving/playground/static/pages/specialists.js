// The specialists as an operator watches them: who is up, what goes through, what waits, and why the last
// requests went where they did. A picture every two seconds; what has not changed is not drawn again.

import { announce, button, fill, h, words } from "../dom.js";
import { alarms, clock, gathered, house, revision, routing } from "./specialists-parts.js";

const EVERY_MS = 2000;
const AFTER_FAILURE_MS = 5000;
const SILENT_S = 7;

let watch = null;

export async function mount(element, api) {
  watch = new Watch(element, api);
  await watch.look();
}

export const show = () => watch.look();

/** A part of the page: drawn when what it shows is new; who had the focus within it keeps it. */
class Part {
  #shown = null;

  constructor(element, draw) {
    this.element = element;
    this.draw = draw;
  }

  show(data) {
    const told = JSON.stringify(data);
    if (told === this.#shown) return;
    this.#shown = told;
    const active = document.activeElement;
    const held = this.element.contains(active) ? active.dataset.name : null;
    fill(this.element, this.draw(data));
    if (held) this.element.querySelector(`[data-name="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  }
}

class Watch {
  #timer = 0;
  #turn = 0;
  #up = null;
  #cards = new Map();

  constructor(element, api) {
    this.element = element;
    this.api = api;
    this.page = h("div", { class: "watch", hidden: true });
    this.asking = h("div", { hidden: true },
      h("p", {}, words("管理者のキーが要ります。", "This needs an administrator's key.")),
      button(words("キーを入れる", "Enter a key"), () => api.dispatchEvent(new Event("ask")), { class: "primary" }));
    this.alarm = h("div", { class: "alarm warning", role: "alert", hidden: true });
    this.at = h("span", { class: "note" });
    this.pause = button(words("更新を止める", "Pause"), () => this.#hold(), { class: "quiet held", "aria-pressed": "false" });
    this.aliases = new Part(h("p", { class: "note aliases" }), aliases);
    this.sums = new Part(h("dl", { class: "sums" }), gathered);
    this.cards = h("div", { class: "revisions" });
    this.empty = h("div", { class: "sheet bound empty-house", hidden: true },
      h("h2", {}, words("まだ誰もいません", "Nobody is here yet")),
      h("p", {}, words("スペシャリストを起こすと、ここに現れます。", "Specialists appear here once they are started.")),
      h("p", {}, h("code", {}, "tsuzuri specialists up SPECIALISTS.yaml")));
    this.routings = new Part(h("ol", { class: "routings" }), (all) => all.map(routing));
    this.unrouted = h("p", { class: "empty" }, words("まだリクエストがありません。", "No request yet."));
    this.house = new Part(h("dl", { class: "facts house" }), house);
    fill(this.page,
      this.aliases.element, this.sums.element, this.empty, this.cards,
      h("div", { class: "below" },
        h("section", { "aria-labelledby": "routings-title" },
          h("h2", { id: "routings-title" }, words("最近の振り分け", "The last requests")), this.routings.element, this.unrouted),
        h("section", { "aria-labelledby": "house-title" },
          h("h2", { id: "house-title" }, words("つなぐもの", "What joins them")), this.house.element)));
    fill(element,
      h("div", { class: "watch-head" }, h("h1", {}, words("スペシャリスト", "Specialists")), this.at, this.pause),
      this.alarm, this.asking, this.page);
    api.addEventListener("key", () => element.hidden || this.look());
    document.addEventListener("visibilitychange", () => document.hidden || element.hidden || this.look());
  }

  get #isHeld() {
    return this.pause.getAttribute("aria-pressed") === "true";
  }

  /** Ask for a picture and show it, and again in a while, as long as somebody looks. */
  async look() {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    let wait = EVERY_MS;
    try {
      const picture = await this.api.json("/admin/specialists");
      if (turn !== this.#turn) return;
      this.#draw(picture);
    } catch (failure) {
      if (!failure.words) throw failure;
      if (turn !== this.#turn) return;
      wait = AFTER_FAILURE_MS;
      if ([401, 403].includes(failure.status)) {
        this.#show({ asks: true });
        return;
      }
      this.#warn([[failure.words, failure.status ? failure.detail : ""]]);
    }
    if (!this.#isHeld) this.#timer = setTimeout(() => this.element.hidden || document.hidden || this.look(), wait);
  }

  #draw(picture) {
    this.#show({ asks: false });
    this.#warn(alarms(picture));
    this.page.classList.toggle("stale", !picture.broker.is_reached);
    const at = clock(picture.at_ms);
    fill(this.at, words(`${at.ja} の様子`, `as of ${at.en}`));
    const rows = picture.specialists.filter((row) =>
      row.state !== "gone" || row.workers.length || Object.values(row.shares).some(Boolean));
    this.aliases.show(picture.aliases);
    this.sums.show({ rows, letters: picture.dead_letters });
    this.#drawCards(rows);
    this.routings.show(picture.routings.slice(0, 20));
    this.unrouted.hidden = picture.routings.length > 0;
    this.house.show({
      ...picture, specialists: null, routings: null, aliases: null, at_ms: null, gateway: null,
      gateways: picture.gateways.map(({ name, held, silent_s }) => ({ name, held, silent: silent_s >= SILENT_S ? Math.round(silent_s) : 0 })),
    });
    this.#tell(rows, picture.broker.is_reached);
  }

  #drawCards(rows) {
    const cards = rows.map((row) => {
      const key = `${row.specialist}/${row.revision}`;
      if (!this.#cards.has(key)) this.#cards.set(key, new Part(h("article", { class: "sheet revision", "aria-label": key }), revision()));
      const card = this.#cards.get(key);
      card.show(row);
      return card.element;
    });
    const there = [...this.cards.children];
    if (cards.length !== there.length || cards.some((card, place) => card !== there[place])) this.cards.replaceChildren(...cards);
    for (const [key, { element }] of this.#cards) if (!element.isConnected) this.#cards.delete(key);
    this.empty.hidden = rows.length > 0;
  }

  /** What a screen reader is told: who came, who went. */
  #tell(rows, isReached) {
    const up = new Set(rows.filter((row) => row.workers.length).map((row) => row.title || row.specialist));
    if (!isReached) up.clear();
    if (this.#up) {
      const came = [...up].filter((name) => !this.#up.has(name)).join("、");
      const went = [...this.#up].filter((name) => !up.has(name)).join("、");
      if (came || went) {
        announce([
          came ? words(`${came} が加わりました。`, `${came} is up. `) : null,
          went ? words(`${went} がいなくなりました。`, `${went} is gone.`) : null,
        ]);
      }
    }
    this.#up = up;
  }

  #show({ asks }) {
    this.asking.hidden = !asks;
    this.page.hidden = asks;
    if (asks) {
      this.#warn([]);
      fill(this.at);
    }
  }

  #warn(troubles) {
    const told = JSON.stringify(troubles);
    if (this.alarm.dataset.told === told) return;
    this.alarm.dataset.told = told;
    fill(this.alarm, troubles.map(([text, detail]) =>
      h("p", {}, text, detail ? h("small", { lang: "en" }, ` ${detail}`) : null)));
    this.alarm.hidden = !troubles.length;
  }

  #hold() {
    const isHeld = !this.#isHeld;
    this.pause.setAttribute("aria-pressed", String(isHeld));
    fill(this.pause, isHeld ? words("更新を続ける", "Go on") : words("更新を止める", "Pause"));
    if (isHeld) clearTimeout(this.#timer);
    else this.look();
  }
}

const MODES = {
  route: words("一人が答える", "one answers"),
  rerank: words("書き比べる", "several write, the best is shown"),
  mix: words("混ぜて書く", "mixed word by word"),
};

const aliases = (all) => Object.entries(all).map(([alias, route], place) => [
  place ? h("br") : null,
  h("b", {}, alias), " · ", MODES[route.mode] ?? route.mode,
  words(` · ゼネラリストは ${route.generalist}`, ` · generalist: ${route.generalist}`),
  route.note ? [" · ", h("span", { lang: "en" }, route.note)] : null,
]);
