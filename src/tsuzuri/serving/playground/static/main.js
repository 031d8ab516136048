// The frame around the pages: navigation, language, theme, and the visitor's key.

import { Api } from "./api.js";
import { announce, button, field, fill, h, join, language, setLanguage, words } from "./dom.js";
import { PAGES } from "./pages.js";

const api = new Api();
const hasAccounts = document.documentElement.dataset.accounts === "yes";
const brought = (document.documentElement.dataset.pages ?? "").split(" ");
const pages = PAGES.filter((page) =>
  (hasAccounts || !page.needsAccounts) && (brought.includes(page.id) || !page.isBrought));
const main = document.getElementById("main");
const links = new Map();
const opened = new Map();

const chosen = localStorage.getItem("tsuzuri.language");
if (chosen === "ja" || chosen === "en") setLanguage(chosen);

function brand() {
  return h("a", { class: "brand", href: "#/continue", "aria-label": words("綴り 表紙へ", "Tsuzuri, home") },
    h("span", { class: "slip", lang: "ja", "aria-hidden": "true" }, "綴り"),
    h("span", { class: "brand-words", "aria-hidden": "true" }, "Tsuzuri",
      h("small", {}, words("日本語の続きを綴る", "Japanese, continued"))));
}

function navigation() {
  const items = pages.map((page) => {
    const link = h("a", { href: `#/${page.id}` }, page.title);
    links.set(page.id, link);
    return h("li", {}, link);
  });
  return h("nav", { "aria-label": words("頁", "Pages") }, h("ul", {}, items));
}

function languageSwitch() {
  return button(words("EN", "日本語"), () => setLanguage(language() === "ja" ? "en" : "ja"), {
    class: "quiet", id: "language", lang: words("en", "ja"), title: words("English", "日本語"),
  });
}

const THEMES = {
  auto: words("自動", "Auto"),
  light: words("明", "Light"),
  dark: words("暗", "Dark"),
};

function themeSwitch() {
  const root = document.documentElement;
  const names = Object.keys(THEMES);
  const control = h("select", {
    class: "quiet", id: "theme", "aria-label": words("配色", "Theme"),
    change: () => {
      localStorage.setItem("tsuzuri.theme", control.value);
      if (control.value === "auto") delete root.dataset.theme;
      else root.dataset.theme = control.value;
    },
  }, names.map((name) => h("option", { value: name }, THEMES[name])));
  control.value = root.dataset.theme ?? "auto";
  return control;
}

function keyDialog() {
  const input = h("input", {
    type: "password", autocomplete: "off", spellcheck: "false", placeholder: "tsz_…", name: "key",
  });
  const keep = (event) => {
    event.preventDefault();
    api.key = input.value.trim();
    dialog.close();
    announce(api.key ? words("キーを使います", "The key is in use") : words("キーを外しました", "The key is gone"));
  };
  const forget = button(words("外す", "Forget it"), () => {
    input.value = "";
    dialog.querySelector("form").requestSubmit();
  });
  const dialog = h("dialog", { class: "sheet", "aria-labelledby": "key-title" },
    h("form", { submit: keep },
      h("h2", { id: "key-title" }, words("API キー", "API key")),
      field(words("あなたのキー", "Your key"), input, words(
        "このタブのなかだけに置かれ、閉じると消えます。",
        "It stays within this tab and is gone when you close it.")),
      h("div", { class: "row" },
        h("button", { class: "primary" }, words("使う", "Use it")),
        forget,
        button(words("閉じる", "Close"), () => dialog.close())),
      h("p", {}, h("a", { href: "#/apply", click: () => dialog.close() },
        words("まだお持ちでなければ、申し込みへ", "None yet? Apply for one")))));
  document.body.append(dialog);
  return { dialog, input };
}

function keyButton() {
  const { dialog, input } = keyDialog();
  const shown = h("span", {});
  const show = () => {
    fill(shown, api.key ? words("キーあり", "Key set") : words("キー", "Key"));
    control.classList.toggle("held", Boolean(api.key));
  };
  const control = button(shown, () => {
    input.value = api.key;
    dialog.showModal();
  }, { class: "quiet", id: "key", "aria-haspopup": "dialog", title: words("API キー", "API key") });
  api.addEventListener("key", show);
  api.addEventListener("ask", () => control.click());
  show();
  return control;
}

/** Open what the address names: #/page/rest?settings. */
async function open() {
  const [, id, rest] = location.hash.match(/^#?\/?([^/?]*)[/?]?(.*)$/);
  const page = pages.find((one) => one.id === id) ?? pages[0];
  for (const [name, link] of links) {
    if (name === page.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const isFirst = opened.size === 0;
  const known = opened.get(page.id);
  const element = known?.element ?? h("section", { class: `page ${page.id}`, "aria-label": page.title });
  const module = known?.module ?? page.load();
  opened.set(page.id, { element, module });
  if (!known) main.append(element);
  for (const [name, one] of opened) one.element.hidden = name !== page.id;
  fill(document.querySelector("title"), join(page.title, " · 綴り Tsuzuri"));
  if (!isFirst) main.focus({ preventScroll: true });
  const { mount, show } = await module;
  if (known) show?.(rest);
  else await mount(element, api, rest);
}

fill(document.querySelector(".skip"), words("本文へ", "Skip to content"));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
fill(document.querySelector(".top"), brand(), navigation(),
  h("div", { class: "tools" }, languageSwitch(), themeSwitch(), hasAccounts ? keyButton() : null));
fill(document.querySelector(".foot"),
  h("p", {}, words(
    "モデルの書くことは、事実とはかぎりません。ここに書いた文章は、サーバーに残りません。",
    "What a model writes need not be true. What you write here is not kept by the server.")),
  h("p", {}, h("a", { href: "docs" }, words("API の説明", "API documentation"))));
addEventListener("hashchange", open);
open();
