// The administrator's view of the service: models, usage and the audit log.

import { button, field, figure, fill, h, instant, table, words, yen } from "../dom.js";

export async function models(office) {
  const { data } = await office.api.json("/v1/models");
  const form = loadForm(office);
  const unload = async (model) => {
    const sure = await office.ask(words(`${model.id} を下ろしますか。`, `Unload ${model.id}?`), {
      confirm: words("下ろす", "Unload"),
    });
    if (sure === null) return;
    const path = `/admin/models/${model.id.split("/").map(encodeURIComponent).join("/")}`;
    await office.change(path, { method: "DELETE", done: words("下ろしました。", "Unloaded.") });
  };
  return [
    form.element,
    table(words("モデル", "Models"), [
      [words("名", "Name"), (model) => model.id],
      [words("版", "Revision"), (model) => h("code", {}, model.tsuzuri?.revision || "—")],
      [words("文脈", "Context"), (model) => figure(model.tsuzuri?.context ?? 0), "figure"],
      [words("書けない言葉", "Filters"), (model) => (model.tsuzuri?.filters ?? []).join("、") || "—"],
      [words("する", "Do"), (model) => h("span", { class: "row" },
        button(words("入れ替える", "Swap"), () => form.show(model.id)),
        button(words("下ろす…", "Unload…"), () => unload(model))), "actions"],
    ], data, words("モデルがありません。", "There is no model.")),
  ];
}

function loadForm(office) {
  const release = h("input", { required: true, maxlength: "400", spellcheck: "false" });
  const name = h("input", { maxlength: "100", spellcheck: "false", placeholder: words("公開物の名", "as its release says") });
  const send = h("button", { class: "primary" }, words("載せる", "Load"));
  const submit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    const body = { release: release.value, ...(name.value ? { name: name.value } : {}) };
    await office.change("/admin/models", { body, done: words("載せました。", "Loaded.") });
    send.disabled = false;
  };
  const element = h("details", { class: "make" }, h("summary", {}, words("モデルを載せる、入れ替える", "Load or swap a model")),
    h("form", { class: "sheet grid", submit },
      field(words("公開物の置き場所", "Folder of the release"), release, words(
        "サーバーの releases_root の下。", "Under the server's releases_root.")),
      field(words("名", "Name"), name, words(
        "載っている名なら入れ替えます。書きかけの答えは前の版で終わります。",
        "A name that is served is swapped; answers under way end with the old revision.")),
      h("div", { class: "row" }, send)));
  const show = (id) => {
    element.open = true;
    name.value = id;
    release.focus();
  };
  return { element, show };
}

const GROUPS = [
  ["account", words("口座ごと", "By account")], ["key", words("キーごと", "By key")],
  ["model", words("モデルごと", "By model")], ["day", words("日ごと", "By day")],
  ["outcome", words("終わりかたごと", "By outcome")],
];

export async function usage(office) {
  const place = h("div", {});
  const by = h("select", { change: () => office.attempt(draw) }, GROUPS.map(([name, title]) => h("option", { value: name }, title)));
  const draw = async () => {
    const { data } = await office.api.json(`/admin/usage?by=${by.value}`);
    const amount = (name, title, show = figure) => [title, (row) => show(row[name]), "figure"];
    fill(place, table(words("使用量", "Usage"), [
      [GROUPS.find(([name]) => name === by.value)[1], (row) => row[by.value]],
      amount("requests", words("回数", "Requests")),
      amount("prompt_tokens", words("入力トークン", "Prompt tokens")),
      amount("completion_tokens", words("出力トークン", "Written tokens")),
      amount("total_tokens", words("合計", "Total")),
      amount("cost_jpy", words("費用", "Cost"), yen),
    ], data));
  };
  await draw();
  return [field(words("まとめかた", "Group"), by), place];
}

export async function audit(office) {
  const lines = [];
  const place = h("div", {});
  const more = button(words("さらに前へ", "Earlier"), () => office.attempt(() => load(lines.at(-1)?.id)));
  const load = async (before) => {
    const { data } = await office.api.json(`/admin/audit?limit=50${before ? `&before=${before}` : ""}`);
    lines.push(...data);
    more.hidden = data.length < 50;
    fill(place, table(words("記録", "Audit log"), [
      [words("時", "When"), (line) => instant(line.at)],
      [words("だれが", "Who"), (line) => h("code", { title: line.actor }, line.actor)],
      [words("何を", "What"), (line) => line.action],
      [words("何に", "To what"), (line) => h("code", { title: line.subject }, line.subject)],
      [words("くわしく", "Detail"), (line) => h("code", { class: "detail" }, JSON.stringify(line.detail))],
    ], lines));
  };
  await load();
  return [place, more];
}
