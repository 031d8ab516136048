// The HTTP API, from the page's side: requests with the visitor's key, streams, and errors in two languages.

import { join, words } from "./dom.js";

const KEY = "tsuzuri.key";

const BY_CODE = {
  missing_api_key: words("API キーを入れてください。", "Enter your API key."),
  model_not_found: words("そのモデルはここにありません。", "There is no such model here."),
  model_not_allowed: words("このキーではそのモデルを使えません。", "This key may not use that model."),
  expired_api_key: words("このキーは期限が切れています。", "This key has expired."),
  revoked_api_key: words("このキーは取り消されています。", "This key was revoked."),
  rate_limit_reached: words("一分間に使える回数に達しました。", "The requests of this minute are used up."),
  concurrency_limit_reached: words("同時に書ける数に達しました。", "As many texts as allowed are being written."),
  daily_tokens_reached: words("今日のトークンを使い切りました。", "Today's tokens are used up."),
  monthly_budget_reached: words("今月の予算を使い切りました。", "This month's budget is used up."),
  server_overloaded: words("いま混み合っています。", "The server is busy."),
  engine_overloaded: words("いま混み合っています。", "The server is busy."),
  server_shutting_down: words("サーバーが止まるところです。", "The server is being stopped."),
  waitlist_full: words("いまは申し込みを受け付けていません。", "Applications are closed for now."),
  already_applied: words("このメールアドレスの申し込みはもうあります。", "An application for this e-mail address exists."),
  already_claimed: words("キーはもう受け取られています。", "The key was fetched before."),
};
const BY_STATUS = {
  0: words("サーバーに届きません。接続をお確かめください。", "The server can't be reached. Check your connection."),
  400: words("この内容では受け付けられません。", "The request can't be answered as asked."),
  401: words("API キーが正しくないか、期限が切れています。", "The API key is not valid, or has expired."),
  403: words("このキーでは許されていません。", "This key may not do that."),
  404: words("見つかりません。", "Not found."),
  409: words("もう済んでいます。", "That has been done already."),
  413: words("文章が長すぎます。", "The text is too long."),
  429: words("混み合っているか、使える量に達しました。", "Too busy, or a limit is reached."),
  503: words("サーバーがいま応じられません。", "The server can't answer now."),
};
const BROKEN = words("サーバーで何かがうまくいきませんでした。", "Something went wrong in the server.");
const CUT = words("途中で接続が切れました。", "The connection ended early.");

/** When to come again, in the largest unit that fits. */
function later(seconds) {
  const [size, ja, en] = [[3600, "時間", "h"], [60, "分", "min"], [1, "秒", "s"]].find(([size]) => seconds >= size);
  const count = Math.ceil(seconds / size);
  return words(` ${count} ${ja}後にもう一度どうぞ。`, ` Try again in ${count} ${en}.`);
}

/** What the server, or the way to it, answered instead. `words` is for the reader, `detail` the server's own. */
export class Failure extends Error {
  constructor(status, error = {}, retryAfterS = null) {
    super(error.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = error.code ?? null;
    this.detail = error.message ?? "";
    const wait = retryAfterS ? later(retryAfterS) : "";
    this.words = join(BY_CODE[this.code] ?? BY_STATUS[status] ?? BROKEN, wait);
  }
}

/** Fires "key" when the visitor's key changes, "ask" where one is needed. */
export class Api extends EventTarget {
  /** Tokens left for today when the last text was asked for; null where there is no limit. */
  tokensLeft = null;
  #root = new URL("../", import.meta.url);

  /** Of this tab alone: gone when it is closed. */
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    this.tokensLeft = null;
    this.dispatchEvent(new Event("key"));
  }

  /** The JSON that a path answers; Failure. */
  async json(path, { method = "GET", body, signal, headers } = {}) {
    const response = await this.#fetch(path, { method, body, signal, headers });
    return response.status === 204 ? null : response.json();
  }

  /** The events of a stream, as they come; Failure. Leaving the loop closes the connection. */
  async *stream(path, body, signal) {
    const response = await this.#fetch(path, { method: "POST", body: { ...body, stream: true }, signal });
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Failure(Number(event.error.status ?? 500), event.error);
      yield event;
    }
    const cut = new Failure(0);
    cut.words = CUT;
    throw cut;
  }

  async #fetch(path, { method, body, signal, headers }) {
    const given = { accept: "application/json", ...headers };
    if (this.key) given.authorization = `Bearer ${this.key}`;
    if (body !== undefined) given["content-type"] = "application/json";
    let response;
    try {
      response = await fetch(new URL(path.replace(/^\//, ""), this.#root), {
        method,
        headers: given,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        credentials: "omit",
        cache: "no-store",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Failure(0);
    }
    const left = response.headers.get("x-ratelimit-remaining-tokens");
    if (left !== null) this.tokensLeft = Number(left);
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw new Failure(response.status, answer.error, Number(response.headers.get("retry-after")) || null);
  }
}

/** The data of server-sent events. Bytes become characters only when they are whole. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
