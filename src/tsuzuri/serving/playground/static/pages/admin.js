// What an administrator's key may see and change. Each part is a tab: what it loads, and how it is shown.

import { announce, button, fill, h, words } from "../dom.js";
import { keys, plans, waitlist } from "./admin-accounts.js";
import { audit, models, usage } from "./admin-service.js";

const PARTS = [
  { id: "waitlist", title: words("申し込み", "Waiting list"), draw: waitlist },
  { id: "keys", title: words("キー", "Keys"), draw: keys },
  { id: "plans", title: words("プラン", "Plans"), draw: plans },
  { id: "models", title: words("モデル", "Models"), draw: models },
  { id: "usage", title: words("使用量", "Usage"), draw: usage },
  { id: "audit", title: words("記録", "Audit log"), draw: audit },
];

let office = null;

export async function mount(element, api, rest) {
  office = new Office(element, api);
  await office.open(rest);
}

export const show = (rest) => office.open(rest);

class Office {
  #part = PARTS[0];

  constructor(element, api) {
    this.api = api;
    this.panel = h("div", { role: "tabpanel", id: "admin-panel", tabindex: "0" });
    this.alarm = h("p", { class: "alarm", role: "alert", hidden: true });
    this.tabs = PARTS.map((part) =>
      button(part.title, () => (location.hash = `#/admin/${part.id}`), {
        role: "tab", id: `tab-${part.id}`, "aria-controls": "admin-panel", keydown: (event) => this.#move(event, part),
      }));
    fill(element, h("h1", {}, words("管理", "Admin")),
      h("div", { class: "tabs", role: "tablist", "aria-label": words("管理", "Admin") }, this.tabs),
      this.alarm, this.panel);
    api.addEventListener("key", () => element.hidden || this.draw());
  }

  async open(rest) {
    this.#part = PARTS.find((part) => part.id === rest) ?? this.#part;
    PARTS.forEach((part, index) => {
      this.tabs[index].setAttribute("aria-selected", String(part === this.#part));
      this.tabs[index].tabIndex = part === this.#part ? 0 : -1;
    });
    this.panel.setAttribute("aria-labelledby", `tab-${this.#part.id}`);
    await this.draw();
  }

  /** Load and show the part that is open. */
  async draw() {
    const part = this.#part;
    await this.attempt(async () => {
      const shown = this.api.key || part.id === "models" ? await part.draw(this) : this.#ask();
      if (part === this.#part) fill(this.panel, shown);
    });
  }

  /** Do something to the server, say that it is done, and show how things stand then. */
  async change(path, { method = "POST", body, done }) {
    let answer = null;
    const isDone = await this.attempt(async () => {
      answer = await this.api.json(path, { method, body });
    });
    if (!isDone) return null;
    await this.draw();
    announce(done);
    return answer ?? {};
  }

  /** Whether `work` went well; what went wrong is shown. */
  async attempt(work) {
    this.alarm.hidden = true;
    try {
      await work();
      return true;
    } catch (failure) {
      if (!failure.words) throw failure;
      if (failure.status === 401 || failure.code === "admin_key_required") fill(this.panel, this.#ask());
      fill(this.alarm, failure.words, failure.detail ? h("small", { lang: "en" }, ` ${failure.detail}`) : null);
      this.alarm.hidden = false;
      return false;
    }
  }

  /** A question before what cannot be taken back; the text that was typed, or null. */
  ask(question, { label, value = "", confirm, type = "text", required = false }) {
    return new Promise((resolve) => {
      const input = label && h("input", { type, value, required, id: "question-input", min: type === "number" ? "0" : null });
      let answer = null;
      const dialog = h("dialog", { class: "sheet", "aria-labelledby": "question", close: () => {
        dialog.remove();
        resolve(answer);
      } },
        h("form", { submit: (event) => {
          event.preventDefault();
          answer = input ? input.value : "";
          dialog.close();
        } },
          h("h2", { id: "question" }, question),
          input ? h("div", { class: "field" }, h("label", { for: "question-input" }, label), input) : null,
          h("div", { class: "row" },
            h("button", { class: "primary" }, confirm),
            button(words("やめる", "Cancel"), () => dialog.close()))));
      document.body.append(dialog);
      dialog.showModal();
    });
  }

  #ask() {
    return [
      h("p", {}, words("管理者のキーが要ります。", "This needs an administrator's key.")),
      button(words("キーを入れる", "Enter a key"), () => this.api.dispatchEvent(new Event("ask")), { class: "primary" }),
    ];
  }

  #move(event, part) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (PARTS.indexOf(part) + step + PARTS.length) % PARTS.length;
    location.hash = `#/admin/${PARTS[next].id}`;
    this.tabs[next].focus();
  }
}
