// The tokens of an answer, laid over its text. What is shown always comes from the text, so that a character is
// whole though several tokens make it; the tokens only say how likely each stretch was.

/** A stretch of text with the tokens that wrote it: {text, tokens: [{logprob, top}], probability or null}. */
export function stretches(text, told) {
  const characters = [...text]; // offsets count characters, not UTF-16 units
  const found = [];
  const plain = (from, to) => {
    if (to > from) found.push({ text: characters.slice(from, to).join(""), tokens: [], probability: null });
  };
  let place = 0;
  let pending = [];
  told.forEach((token, index) => {
    pending.push(token);
    const next = told[index + 1]?.offset ?? characters.length;
    if (next <= token.offset) return; // it wrote a part of a character: the next one goes on
    const from = pending[0].offset;
    plain(place, from);
    const own = isPart(token.text) ? next - from : [...token.text].length + token.offset - from;
    const to = Math.min(next, from + Math.max(1, own)); // beyond its own text stands what a filter put there
    const logprob = pending.reduce((sum, one) => sum + (one.logprob ?? 0), 0);
    const probability = pending.every((one) => one.logprob === null) ? null : Math.exp(logprob);
    found.push({ text: characters.slice(from, to).join(""), tokens: pending, probability });
    place = to;
    pending = [];
  });
  plain(place, characters.length);
  return found;
}

/** Whether a token is a part of a character, or special: no text that could be written. */
export const isPart = (text) => text.startsWith("bytes:\\x") || /^<\|.*\|>$/.test(text);

/** The tokens in an event's `logprobs`, as objects. */
export function tokensOf(logprobs) {
  if (!logprobs) return [];
  return logprobs.tokens.map((text, index) => ({
    text,
    logprob: logprobs.token_logprobs[index],
    top: Object.entries(logprobs.top_logprobs?.[index] ?? {}).sort((one, other) => other[1] - one[1]),
    offset: logprobs.text_offset[index],
  }));
}

/** How sure the model was, from 0 (sure) to 4 (it might as well have been anything else). */
export function doubt(probability) {
  return [0.5, 0.2, 0.05, 0.01].filter((limit) => probability < limit).length;
}
