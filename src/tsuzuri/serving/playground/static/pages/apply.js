// The waiting list: apply for a key, see how the application stands, and fetch the key. What names an application is
// a secret made here; it stands in the page's address behind the #, so that the page can be kept as a bookmark.

import { announce, button, copy, field, fill, figure, h, instant, join, language, words } from "../dom.js";

let page = null;
let claim = null;

export async function mount(element, api, rest) {
  page = { element, api };
  await show(rest);
}

export async function show(token) {
  if (token) await standing(token);
  else form();
}

const title = () => h("h1", {}, words("申し込む", "Apply"));

/** A secret that only this page knows: sent again, the same form makes no second application. */
function newClaim() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function form() {
  claim ??= newClaim();
  const name = h("input", { name: "name", autocomplete: "name", required: true, maxlength: "200" });
  const email = h("input", { name: "email", type: "email", autocomplete: "email", required: true, maxlength: "160" });
  const purpose = h("textarea", { name: "purpose", rows: "5", required: true, maxlength: "4000" });
  const consent = h("input", { name: "consent", type: "checkbox", required: true, id: "consent" });
  const alarm = h("p", { class: "alarm", role: "alert", hidden: true });
  const send = h("button", { class: "primary" }, words("申し込む", "Apply"));
  const submit = async (event) => {
    event.preventDefault();
    send.disabled = true;
    alarm.hidden = true;
    const body = {
      name: name.value, email: email.value, purpose: purpose.value, consent: consent.checked,
      language: language(), claim,
    };
    try {
      const { token } = await page.api.json("/waitlist", { method: "POST", body });
      claim = null;
      location.hash = `#/apply/${token}`;
    } catch (failure) {
      fill(alarm, failure.words, failure.status === 400 ? ` (${failure.detail})` : null);
      alarm.hidden = false;
    } finally {
      send.disabled = false;
    }
  };
  fill(page.element, title(),
    h("p", { class: "lead" }, words(
      "キーがあれば、このページでも、自分のプログラムからも書けます。順にお返事します。",
      "With a key you can write here and from programs of your own. Applications are answered in order.")),
    h("form", { class: "sheet bound", submit },
      field(words("お名前", "Name"), name),
      field(words("メールアドレス", "E-mail address"), email),
      field(words("何に使いますか", "What is it for?"), purpose, words(
        "どんな文章を、どのくらい。二、三行でかまいません。", "What kind of text, and how much of it; a few lines will do.")),
      h("p", { class: "check" }, consent, h("label", { for: "consent" }, words(
        "お名前、アドレス、用途を、申し込みを決めるために控えることに同意します。",
        "My name, address and purpose may be kept to decide on this application."))),
      alarm, h("div", { class: "row" }, send)));
}

const STANDS = {
  waiting: words("順番を待っています", "Waiting"),
  approved: words("承認されました", "Approved"),
  refused: words("お断りしました", "Refused"),
  claimed: words("キーは受け取り済みです", "The key was fetched"),
  lapsed: words("受け取りの期限が過ぎました", "The key was not fetched in time"),
};

async function standing(token) {
  const path = `/waitlist/${encodeURIComponent(token)}`;
  let told;
  try {
    told = await page.api.json(path);
  } catch (failure) {
    fill(page.element, title(), h("p", { class: "alarm", role: "alert" }, failure.words),
      h("p", {}, h("a", { href: "#/apply" }, words("申し込みの用紙へ", "To the form"))));
    return;
  }
  const position = told.position === null ? null : h("p", { class: "position" },
    h("b", {}, figure(told.position)), " ", join(words("番目 / ", " of "), figure(told.waiting)));
  const key = h("div", {});
  const fetchKey = button(words("キーを受け取る", "Fetch the key"), () => take(path, key, fetchKey), { class: "primary" });
  fill(page.element, title(),
    h("div", { class: "sheet bound standing" },
      h("h2", {}, STANDS[told.status] ?? told.status), position,
      told.reason ? h("blockquote", {}, told.reason) : null,
      h("p", { class: "note" }, join(words("申し込み ", "Applied "), instant(told.applied_at)),
        told.decided_at ? [" · ", join(words("お返事 ", "Answered "), instant(told.decided_at))] : null),
      told.status === "approved" ? fetchKey : null, key,
      h("div", { class: "row" },
        button(words("もう一度見る", "Look again"), () => standing(token)),
        button(words("このページのリンク", "Link to this page"), (event) => copy(location.href, event.currentTarget))),
      h("p", { class: "help" }, words(
        "このページのアドレスが、あなたの控えです。ブックマークしておいてください。ほかの人には見せないでください。",
        "The address of this page is your receipt: bookmark it, and show it to nobody."))));
  announce(STANDS[told.status] ?? told.status);
}

async function take(path, place, pressed) {
  try {
    const made = await page.api.json(`${path}/key`, { method: "POST", body: {} });
    pressed.remove();
    fill(place,
      h("p", { class: "help" }, words(
        "これがあなたのキーです。二度と表示されません。安全なところに控えてください。",
        "This is your key. It is not shown again: keep it somewhere safe.")),
      h("p", { class: "secret" }, h("code", {}, made.key)),
      h("div", { class: "row" },
        button(words("コピー", "Copy"), (event) => copy(made.key, event.currentTarget)),
        button(words("ここで使う", "Use it here"), () => {
          page.api.key = made.key;
          location.hash = "#/continue";
        }, { class: "thread" })));
    announce(words("キーを受け取りました。", "The key is here."));
  } catch (failure) {
    fill(place, h("p", { class: "alarm", role: "alert" }, failure.words));
  }
}
