// The parts of the page of specialists: each makes elements of what the picture says.

import { figure, h, join, words } from "../dom.js";

const STATES = {
  loading: words("読み込み中", "loading"), checking: words("試験中", "checking"), refused: words("不採用", "refused"),
  ready: words("応答中", "ready"), draining: words("引き継ぎ中", "draining"), gone: words("退いた", "gone"),
};
const OUTCOMES = {
  done: words("答えた", "done"), cancelled: words("取りやめ", "cancelled"), expired: words("時間切れ", "expired"),
};
const REASONS = [
  [/^asked for by name$/, () => words("名指し", "asked for by name")],
  [/^rule (.+) is met$/, (rule) => words(`規則 ${rule} に合う`, `rule ${rule} is met`)],
  [/^nobody else is up$/, () => words("ほかに誰もいない", "nobody else is up")],
  [/^no rule is met$/, () => words("どの規則にも合わない", "no rule is met")],
  [/^there is no text$/, () => words("文章がない", "there is no text")],
  [/^nobody can judge it$/, () => words("判断できる者がいない", "nobody can judge it")],
  [/^it is as no domain's texts are$/, () => words("どの分野の文章とも違う", "it is like no domain's texts")],
  [/^nobody who should answer for (.+) is up$/, (name) => words(`${name} がいない`, `nobody who should answer for ${name} is up`)],
  [/^(only )?([\d.]+) (\S+) by (\S+) of (\d+) characters(, who is not up)?$/, (only, share, name, method, count, isAway) =>
    words(`${count} 字から ${name} らしさ ${share}${only ? " にとどまる" : ""}（${method}）${isAway ? "、だがいない" : ""}`,
      `${only ?? ""}${share} ${name}, by ${method} of ${count} characters${isAway ?? ""}`)],
  [/^(\S+) is to save ([+-][\d.]+) bits a character$/, (name, bits) =>
    words(`${name} なら一字に ${bits} ビットの得`, `${name} is to save ${bits} bits a character`)],
  [/^of the requests for (.+) a share goes to (.+)$/, (one, other) => words(`${one} への一部が ${other} に回る`, `a share of ${one}'s goes to ${other}`)],
];
const NONE = "—";
const LATE_S = 5;
const POSTERIOR = 3;
const LEAST_SHARE = 0.005;

const sum = (values) => values.reduce((total, value) => total + value, 0);
const rate = (value) => figure(value, { maximumFractionDigits: value < 10 ? 1 : 0 });
const percent = (value, digits = 0) => figure(value, { style: "percent", maximumFractionDigits: digits });

/** An instant's time of day. */
export function clock(ms) {
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const told = (name) => new Intl.DateTimeFormat(name, parts).format(ms);
  return words(told("ja"), told("en"));
}

/** A time in milliseconds, in the unit that suits it. */
function took(ms) {
  if (ms === null || ms === undefined) return NONE;
  const [value, unit] = ms < 1000 ? [ms, "ms"] : [ms / 1000, "s"];
  return join(figure(value, { maximumFractionDigits: ms < 1000 ? 0 : 1 }), ` ${unit}`);
}

const spread = ({ p50, p99 }) => (p50 === null ? NONE : [took(p50), h("small", {}, " / ", took(p99))]);

function drawn(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Requests of the last minute as bars, the oldest first; the last is not over. */
function bars(each) {
  const most = Math.max(4, ...each);
  const picture = drawn("svg", { viewBox: `0 0 ${each.length * 4 - 1} 32`, preserveAspectRatio: "none", "aria-hidden": "true" },
    ...each.map((count, place) => {
      const height = count ? Math.max(2, (count / most) * 31) : 1;
      const kind = count ? (place === each.length - 1 ? "bar now" : "bar") : "bar none";
      return drawn("rect", { class: kind, x: place * 4, y: 32 - height, width: 3, height });
    }));
  return h("div", { class: "bars" }, picture);
}

/** What an operator has to see before anything else: [text, the server's own words]. */
export function alarms({ broker, controller, specialists, aliases }) {
  const found = [];
  if (!broker.is_reached)
    found.push([words("ブローカーに届きません。下にあるのは最後に聞いた値です。", "The broker is away. What stands below was heard last."), broker.trouble]);
  else if (!controller && specialists.length)
    found.push([words("版の入れ替えを決める者がいません。", "Nobody is there who decides about revisions."), ""]);
  const served = new Set(specialists.filter((row) => row.workers.length).map((row) => row.specialist));
  const missing = Object.values(aliases).flatMap(({ shares }) =>
    Object.entries(shares).filter(([name, of]) => sum(Object.values(of)) > 0 && !served.has(name)).map(([name]) => name));
  if (broker.is_reached && missing.length) {
    const names = [...new Set(missing)].join("、");
    found.push([words(`${names} のワーカーがいません。`, `No worker answers for ${names}.`), ""]);
  }
  return found;
}

/** The sums of the whole house. */
export function gathered({ rows, letters }) {
  const dead = sum(Object.values(letters));
  const errors = sum(rows.map((row) => row.errors));
  const ended = sum(rows.map((row) => sum(Object.values(row.minute))));
  const lag = sum(rows.map((row) => row.lag ?? 0));
  const oldest = Math.max(0, ...rows.map((row) => row.oldest_s ?? 0));
  return [
    amount(words("毎秒のリクエスト", "Requests a second"), rate(sum(rows.map((row) => row.requests_per_s))),
      words(`この一分に ${ended} 件`, `${ended} in the last minute`)),
    amount(words("書いている", "Being written"), figure(sum(rows.map((row) => row.in_flight))),
      words(`席は ${sum(rows.map((row) => row.slots))}`, `of ${sum(rows.map((row) => row.slots))} places`)),
    amount(words("待っている", "Waiting"), figure(lag),
      lag && oldest ? join(words("いちばん古いもの ", "the oldest for "), took(1000 * oldest)) : words("遅れなし", "nothing is late"), oldest > LATE_S),
    amount(words("この一分の失敗", "Errors in the last minute"), figure(errors),
      errors ? percent(errors / Math.max(1, ended), 1) : words("なし", "none"), errors > 0),
    amount(words("配達不能", "Dead letters"), figure(dead),
      dead ? h("code", {}, "tsuzuri specialists dlq list") : words("なし", "none"), dead > 0),
  ];
}

const amount = (name, value, note, isAlarm = false) =>
  h("div", { class: isAlarm ? "alarm" : null }, h("dt", {}, name), h("dd", {}, h("b", {}, value), h("small", {}, note)));

/** How a revision is drawn; whether its workers are unfolded is remembered. */
export function revision() {
  let isOpen = false;
  const toggle = (event) => (isOpen = event.target.open);
  return (row) => [
    h("header", {},
      h("h2", {}, row.title || row.specialist),
      h("span", { class: `state ${row.state}` }, STATES[row.state] ?? row.state ?? NONE),
      row.is_generalist ? h("span", { class: "note" }, words("ゼネラリスト", "generalist")) : null),
    h("p", { class: "note name" }, h("code", {}, `${row.specialist}/${row.revision}`)),
    h("div", { class: "traffic" }, bars(row.each),
      h("p", { class: "unseen" }, words(`この一分に ${sum(row.each)} 件`, `${sum(row.each)} requests in the last minute`))),
    h("dl", { class: "measures" },
      measure(words("割り当て", "Share"), percent(Math.max(0, ...Object.values(row.shares)))),
      measure(words("毎秒のリクエスト", "Requests/s"), rate(row.requests_per_s)),
      measure(words("書いている", "Being written"), [figure(row.in_flight), h("small", {}, " / ", figure(row.slots))]),
      measure(words("待ち", "Waiting"), row.lag === null ? NONE : [figure(row.lag),
        row.oldest_s ? h("small", {}, " · ", took(1000 * row.oldest_s)) : null], (row.oldest_s ?? 0) > LATE_S),
      measure(words("最初の文字まで", "First text"), spread(row.first_ms)),
      measure(words("終わりまで", "Whole answer"), spread(row.total_ms)),
      measure(words("失敗", "Errors"), figure(row.errors), row.errors > 0),
      measure(words("毎秒のトークン", "Tokens/s"), rate(row.tokens_per_s))),
    gain(row),
    row.note ? h("p", { class: "note", lang: "en" }, row.note) : null,
    workers(row, isOpen, toggle),
  ];
}

const measure = (name, value, isAlarm = false) =>
  h("div", { class: isAlarm ? "alarm" : null }, h("dt", {}, name), h("dd", {}, value));

function gain({ domain_bpb: own, generalist_bpb: theirs, is_generalist: isGeneralist }) {
  if (!own || !theirs || isGeneralist) return null;
  const less = 1 - own / theirs;
  return h("p", { class: "note" }, less >= 0
    ? join(words("自分の分野ではゼネラリストより ", "On its own domain "), percent(less, 1), words(" 少ないビット", " fewer bits than the generalist"))
    : join(words("自分の分野でもゼネラリストより ", "On its own domain "), percent(-less, 1), words(" 多いビット", " more bits than the generalist")));
}

function workers({ workers: all, wanted }, isOpen, toggle) {
  const few = wanted && all.length < wanted;
  const count = few ? `${all.length} / ${wanted}` : `${all.length}`;
  if (!all.length) return h("p", { class: few ? "alarm" : "note" }, words(`ワーカー ${count}`, `Workers: ${count}`));
  return h("details", { class: "workers", open: isOpen, toggle },
    h("summary", { "data-name": "workers", class: few ? "alarm" : null }, words(`ワーカー ${count}`, `Workers: ${count}`)),
    h("ul", {}, all.map((one) => h("li", {},
      h("code", {}, `${one.host || one.instance}${one.pid ? ` · ${one.pid}` : ""}`), " ",
      h("span", { class: "note" }, STATES[one.state] ?? one.state, " · ",
        join(words("書いている ", "writes "), `${one.running} / ${one.slots}`), " · ",
        join(figure(one.rss_bytes / 2 ** 20, { maximumFractionDigits: 0 }), " MiB"), " · ",
        join(words("終えた ", "finished "), figure(one.finished), words("、失敗 ", ", failed "), figure(one.failed)))))));
}

/** How a request was routed, and why. */
export function routing(one) {
  const outcome = one.outcome || "done";
  const shares = Object.entries(one.posterior ?? {})
    .filter(([, share]) => share >= LEAST_SHARE).sort((a, b) => b[1] - a[1]).slice(0, POSTERIOR);
  return h("li", {},
    h("div", { class: "line" },
      h("time", {}, clock(one.at_ms)), h("b", {}, one.specialist),
      outcome === "done" ? null : h("span", { class: outcome in OUTCOMES ? "state" : "state failed" }, OUTCOMES[outcome] ?? outcome),
      h("span", { class: "took" }, took(one.first_ms), h("small", {}, " / ", took(one.total_ms)))),
    h("p", { class: "note" }, reasons(one.why ?? ""),
      shares.length > 1 ? h("span", { class: "posterior" }, posterior(shares, one.specialist),
        shares.map(([name, share]) => `${name} ${share.toFixed(2)}`).join(" · ")) : null));
}

function posterior(shares, chosen) {
  let left = 0;
  return drawn("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    ...shares.map(([name, share]) => {
      const rect = drawn("rect", { class: name === chosen ? "chosen" : "other", x: left, y: 0, width: Math.max(0.5, 100 * share - 1), height: 6 });
      left += 100 * share;
      return rect;
    }));
}

/** The server's reasons in the reader's language, as far as they are known here. */
function reasons(why) {
  return why.split("; ").map((sentence, place) => {
    const known = REASONS.map(([pattern, told]) => [sentence.match(pattern), told]).find(([match]) => match);
    const text = known ? known[1](...known[0].slice(1)) : h("span", { lang: "en" }, sentence);
    return [place ? " · " : null, text];
  });
}

/** Gateways, whoever decides, the broker, and what could not be delivered. */
export function house({ gateways, controller, broker, dead_letters: letters }) {
  const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return [
    ...gateways.map(({ name, held, silent }) => fact(words("ゲートウェイ", "Gateway"), h("code", {}, name), h("br"),
      silent ? h("span", { class: "alarm" }, words(`${silent} 秒のあいだ黙っている`, `silent for ${silent} s`))
        : h("span", { class: "note" }, words(`${held} 件を預かる`, `holds ${held}`)))),
    fact(words("決める者", "Who decides"), controller ? h("code", {}, controller) : words("いない", "nobody")),
    fact(words("ブローカー", "Broker"), h("code", {}, broker.address), broker.is_reached ? null
      : [h("br"), h("span", { class: "alarm" }, words("届かない", "away"))]),
    ...Object.entries(letters).map(([reason, count]) =>
      fact(words("配達不能", "Dead letters"), h("code", {}, reason), " ", figure(count))),
  ];
}
