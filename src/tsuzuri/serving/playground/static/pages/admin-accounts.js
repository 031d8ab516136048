// The administrator's view of people: applications, keys and plans.

import { button, copy, field, figure, h, instant, newId, table, words } from "../dom.js";

const at = (path, ...parts) => path + parts.map((part) => `/${encodeURIComponent(part)}`).join("");

export async function waitlist(office) {
  const [{ data: applications }, { data: terms }] = await Promise.all([
    office.api.json("/admin/waitlist"), office.api.json("/admin/plans"),
  ]);
  const states = ["waiting", "approved", "claimed", "refused"];
  const sorted = applications.toSorted((one, other) => states.indexOf(one.status) - states.indexOf(other.status));
  if (!sorted.length) return h("p", { class: "empty" }, words("申し込みはありません。", "There are no applications."));
  return h("div", { class: "applications" }, sorted.map((one) => application(office, one, terms)));
}

const STATES = {
  waiting: words("待っている", "waiting"), approved: words("承認", "approved"),
  claimed: words("受け取り済み", "claimed"), refused: words("お断り", "refused"),
  valid: words("有効", "valid"), expired: words("期限切れ", "expired"), revoked: words("取り消し", "revoked"),
};
const state = (name) => h("span", { class: `state ${name}` }, STATES[name] ?? name);

function application(office, one, terms) {
  const plan = h("select", { "aria-label": words("プラン", "Plan"), id: newId("plan") },
    terms.map(({ name }) => h("option", { value: name }, name)));
  const decide = (how, body, done) =>
    office.change(`${at("/admin/waitlist", one.id)}/${how}`, { body, done });
  const refuse = async () => {
    const reason = await office.ask(words(`${one.name} さんの申し込みを断りますか。`, `Refuse ${one.name}?`), {
      label: words("理由（申し込んだ人に見えます）", "Reason (the applicant reads it)"), required: true,
      confirm: words("断る", "Refuse"),
    });
    if (reason !== null) await decide("refuse", { reason }, words("断りました。", "Refused."));
  };
  return h("article", { class: "sheet application", "aria-label": one.name },
    h("header", {}, h("h2", {}, one.name), state(one.status),
      one.position === null ? null : h("span", { class: "note" }, words(`${one.position} 番目`, `no. ${one.position}`))),
    h("p", { class: "note" }, one.email, " · ", instant(one.applied_at)),
    h("p", { class: "purpose", lang: one.language }, one.purpose),
    one.reason ? h("blockquote", {}, one.reason) : null,
    one.status !== "waiting" ? null : h("div", { class: "row" }, plan,
      button(words("承認する", "Approve"), () =>
        decide("approve", { plan: plan.value }, words("承認しました。", "Approved.")), { class: "thread" }),
      button(words("断る…", "Refuse…"), refuse)));
}

export async function keys(office) {
  const { data } = await office.api.json("/admin/keys");
  return [
    keyForm(office),
    table(words("キー", "Keys"), [
      [words("口座", "Account"), (key) => key.account],
      [words("名", "Name"), (key) => key.name],
      [words("キー", "Key"), (key) => h("code", {}, `${key.prefix}…`)],
      [words("プラン", "Plan"), (key) => key.plan],
      [words("モデル", "Models"), (key) => key.models?.join("、") ?? words("すべて", "all")],
      [words("状態", "State"), (key) => [state(key.status), key.is_admin ? words(" 管理者", " admin") : null]],
      [words("期限", "Expires"), (key) => instant(key.expires_at)],
      [words("する", "Do"), (key) => (key.status === "valid" ? keyActions(office, key) : null), "actions"],
    ], data),
  ];
}

function keyActions(office, key) {
  const path = at("/admin/keys", key.id);
  const rotate = async () => {
    const hours = await office.ask(words(`${key.prefix}… を新しいキーに替えますか。`, `Replace ${key.prefix}…?`), {
      label: words("古いキーも使える時間", "Hours for which the old key goes on"), value: "24", type: "number",
      required: true, confirm: words("替える", "Replace"),
    });
    if (hours === null) return;
    const body = { overlap_hours: Number(hours) };
    await reveal(office, await office.change(`${path}/rotate`, { body, done: words("替えました。", "Replaced.") }));
  };
  const revoke = async () => {
    const sure = await office.ask(words(`${key.prefix}… を今すぐ使えなくしますか。`, `Revoke ${key.prefix}… now?`), {
      confirm: words("取り消す", "Revoke"),
    });
    if (sure !== null) await office.change(`${path}/revoke`, { done: words("取り消しました。", "Revoked.") });
  };
  return h("span", { class: "row" },
    button(words("替える…", "Replace…"), rotate), button(words("取り消す…", "Revoke…"), revoke));
}

/** Show a key that was just made: the only time. */
async function reveal(office, made) {
  if (!made) return;
  const code = h("code", {}, made.key);
  const shown = h("div", { class: "sheet secret-box", role: "group", "aria-label": words("新しいキー", "The new key") },
    h("p", {}, words("新しいキーです。二度と表示されません。", "The new key. It is not shown again.")),
    h("p", { class: "secret" }, code),
    button(words("コピー", "Copy"), (event) => copy(made.key, event.currentTarget)));
  office.panel.prepend(shown);
  shown.querySelector("button").focus();
}

function keyForm(office) {
  const account = h("input", { name: "account", required: true, maxlength: "200" });
  const plan = h("input", { name: "plan", maxlength: "200", placeholder: words("はじめのプラン", "the first plan") });
  const models = h("input", { name: "models", placeholder: words("すべて", "all") });
  const days = h("input", { name: "days", type: "number", min: "1", max: "36500", placeholder: words("なし", "none") });
  const isAdmin = h("input", { type: "checkbox", id: newId("admin") });
  const submit = async (event) => {
    event.preventDefault();
    const names = models.value.split(/[,、\s]+/).filter(Boolean);
    const body = {
      account: account.value, is_admin: isAdmin.checked,
      ...(plan.value ? { plan: plan.value } : {}), ...(names.length ? { models: names } : {}),
      ...(days.value ? { expires_days: Number(days.value) } : {}),
    };
    await reveal(office, await office.change("/admin/keys", { body, done: words("作りました。", "Made.") }));
  };
  return h("details", { class: "make" }, h("summary", {}, words("キーを作る", "Make a key")),
    h("form", { class: "sheet grid", submit },
      field(words("口座", "Account"), account), field(words("プラン", "Plan"), plan),
      field(words("モデル（空白で区切る）", "Models (with spaces between)"), models),
      field(words("期限までの日数", "Days until it expires"), days),
      h("p", { class: "check" }, isAdmin, h("label", { for: isAdmin.id }, words("管理者のキー", "An administrator's key"))),
      h("div", { class: "row" }, h("button", { class: "primary" }, words("作る", "Make")))));
}

const TERMS = [
  ["requests_per_minute", words("回/分", "Requests/min")],
  ["tokens_per_day", words("トークン/日", "Tokens/day")],
  ["budget_jpy_per_month", words("円/月", "JPY/month")],
  ["concurrent_requests", words("同時", "At once")],
  ["jpy_per_1k_prompt", words("円/千入力", "JPY/1k prompt")],
  ["jpy_per_1k_completion", words("円/千出力", "JPY/1k written")],
];
const REQUIRED = new Set(["jpy_per_1k_prompt", "jpy_per_1k_completion"]);

export async function plans(office) {
  const { data } = await office.api.json("/admin/plans");
  const form = planForm(office);
  return [
    form.element,
    table(words("プラン", "Plans"), [
      [words("名", "Name"), (plan) => plan.name],
      ...TERMS.map(([name, title]) => [
        title, (plan) => (plan[name] === null ? words("なし", "none") : figure(plan[name])), "figure",
      ]),
      [words("する", "Do"), (plan) => button(words("変える", "Change"), () => form.show(plan)), "actions"],
    ], data),
  ];
}

function planForm(office) {
  const name = h("input", { required: true, maxlength: "64" });
  const inputs = new Map(TERMS.map(([term]) => [term, h("input", {
    type: "number", min: "0", step: "any", placeholder: REQUIRED.has(term) ? "0" : words("上限なし", "no limit"),
  })]));
  const submit = async (event) => {
    event.preventDefault();
    const body = Object.fromEntries([...inputs].map(([term, { value }]) =>
      [term, value === "" ? (REQUIRED.has(term) ? 0 : null) : Number(value)]));
    await office.change(at("/admin/plans", name.value), { method: "PUT", body, done: words("決めました。", "Set.") });
  };
  const element = h("details", { class: "make" }, h("summary", {}, words("プランを作る、変える", "Make or change a plan")),
    h("form", { class: "sheet grid", submit }, field(words("名", "Name"), name),
      TERMS.map(([term, title]) => field(title, inputs.get(term))),
      h("div", { class: "row" }, h("button", { class: "primary" }, words("決める", "Set")))));
  const show = (plan) => {
    element.open = true;
    name.value = plan.name;
    for (const [term, input] of inputs) input.value = plan[term] ?? "";
    name.focus();
  };
  return { element, show };
}
