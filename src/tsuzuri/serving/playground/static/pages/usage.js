// What the visitor's key has used, and what is left of its plan.

import { button, figure, fill, h, instant, join, words, yen } from "../dom.js";

let page = null;

export async function mount(element, api) {
  page = { element, api };
  api.addEventListener("key", () => element.hidden || draw());
  await draw();
}

export const show = () => draw();

async function draw() {
  const { element, api } = page;
  const title = h("h1", {}, words("使った量", "Usage"));
  if (!api.key) {
    fill(element, title, h("p", {}, words("キーを入れると、使った量と残りが見えます。", "With a key you see what it has used and what is left.")),
      button(words("キーを入れる", "Enter a key"), () => api.dispatchEvent(new Event("ask")), { class: "primary" }));
    return;
  }
  try {
    fill(element, title, report(await api.json("/account/usage")));
  } catch (failure) {
    fill(element, title, h("p", { class: "alarm", role: "alert" }, failure.words));
  }
}

function report({ account, key, plan, today, month, in_flight: running, remaining, ...ends }) {
  const spent = plan.tokens_per_day === null ? null : plan.tokens_per_day - remaining.tokens_today;
  return h("div", { class: "sheet bound usage" },
    h("div", { class: "gauges" },
      gauge(words("今日のトークン", "Tokens today"), today.total_tokens, spent, plan.tokens_per_day, figure,
        join(words("次に始まるのは ", "The next day begins "), instant(ends.day_ends_at))),
      gauge(words("今月の費用", "Cost this month"), month.cost_jpy, month.cost_jpy, plan.budget_jpy_per_month, yen,
        join(words("次に始まるのは ", "The next month begins "), instant(ends.month_ends_at)))),
    h("dl", { class: "facts" },
      fact(words("口座", "Account"), account),
      fact(words("キー", "Key"), h("code", {}, `${key.prefix}…`)),
      fact(words("使えるモデル", "Models"), key.models ? key.models.join("、") : words("すべて", "all")),
      fact(words("キーの期限", "Key expires"), instant(key.expires_at)),
      fact(words("プラン", "Plan"), plan.name),
      fact(words("一分の回数", "Requests a minute"), limit(plan.requests_per_minute)),
      fact(words("同時の回数", "At the same time"), limit(plan.concurrent_requests)),
      fact(words("いま書いている", "Being written now"), figure(running.requests)),
      fact(words("今日の回数", "Requests today"), figure(today.requests)),
      fact(words("今月の回数", "Requests this month"), figure(month.requests)),
      fact(words("今月の入力トークン", "Prompt tokens this month"), figure(month.prompt_tokens)),
      fact(words("今月の出力トークン", "Written tokens this month"), figure(month.completion_tokens)),
      fact(words("入力千トークンの値段", "Price of 1,000 prompt tokens"), yen(plan.jpy_per_1k_prompt)),
      fact(words("出力千トークンの値段", "Price of 1,000 written tokens"), yen(plan.jpy_per_1k_completion))));
}

const limit = (value) => (value === null ? words("上限なし", "no limit") : figure(value));
const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function gauge(title, used, spent, most, show, note) {
  const share = most ? Math.min(1, spent / most) : null;
  return h("section", { class: "gauge" },
    h("h2", {}, title),
    h("p", { class: "amount" }, h("b", {}, show(used)), h("small", {}, " / ",
      most === null ? words("上限なし", "no limit") : show(most))),
    share === null ? null : h("meter", { min: "0", max: "1", high: "0.8", optimum: "0", value: share, "aria-label": title }),
    h("p", { class: "note" }, note));
}
