"""From the tokens of one generation to text: whole characters, up to a stop text, through the filters.

    tokens → characters (generation.streaming) → stop texts (generation.stopping) → filters → deltas

Where tokens are told, each leaves with its text: those of a stop text or of what a filter masked stay behind.

An answer that an earlier attempt began (`models.Resume`) takes the same way again from its ids, up to the
character after which its reader has nothing: what was held back then is held back now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from tsuzuri.generation.stopping import StopFinder
from tsuzuri.generation.streaming import CharacterStream
from tsuzuri.serving.engines.base import EngineFailed, Generation, Token, TokenEvent
from tsuzuri.serving.filters import FilteredText, Filters, Segment
from tsuzuri.serving.models import Resume, TextDelta, TextFinish, TextRequest, TextToken, Usage

TOGETHER_S = 0.02
"""What is written within this time of a part leaves with the next: nobody reads more than fifty parts a
second, and a part costs as much as a token of a small model. Where a stop text may end the answer, every
token is looked at as it comes, so that no more are written after it than must be."""


class Pieces:
    """How the ids of a vocabulary are shown."""

    def __init__(self, pieces: Sequence[bytes], name_of: Callable[[int], str | None]) -> None:
        self._pieces = pieces
        self._name_of = name_of

    def piece(self, index: int) -> bytes:
        """Its bytes; none for a special piece."""
        return self._pieces[index] if index < len(self._pieces) else b""

    def shown(self, index: int) -> str:
        """Its text; a part of a character as `bytes:\\xe3`, a special piece by its name."""
        piece = self.piece(index)
        if not piece:
            return self._name_of(index) or f"<{index}>"
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)

    def token(self, token: Token, offset: int) -> TextToken:
        """A token as it is told."""
        top = tuple((self.shown(index), self.piece(index), value) for index, value in token.top)
        return TextToken(self.shown(token.id), self.piece(token.id), offset, token.logprob, top)


class Writing:
    """One sample as it is written: `models.TextGeneration` over an engine's generation, given to `begin`."""

    def __init__(self, request: TextRequest, pieces: Pieces, filters: Filters, closing: int) -> None:
        self.usage = Usage(prompt_tokens=len(request.prompt.ids))
        self._generation = Generation()
        self._request = request
        self._filters = filters
        self._pieces = pieces
        self._closing = closing
        self._characters = CharacterStream()
        self._stops = StopFinder(request.sampling.stop)
        self._filter = FilteredText(filters, request.prompt.text)
        self.filtered = self._filter.counts
        self._tells = request.logprobs is not None
        self._tokens: deque[tuple[Token, int, int]] = deque()
        """Tokens not told yet, with the places in what was written where each begins and ends."""
        self._written = 0
        """Characters written, those held back included."""
        self._left = 0
        """Of these, characters that have left or been masked."""
        self._offset = 0
        """Characters of the answer that have left."""
        self._is_first = True
        """Whether the engine has told nothing yet."""
        self._ids: list[int] = []
        """Written, of which no delta has told yet."""
        self._due = ""
        """What an earlier attempt wrote and did not show."""
        self._shown = ""
        """What an earlier attempt showed and this one has not come to yet."""
        self._ended: TextFinish | None = None
        """Why nothing more is shown, though the engine has not ended yet."""

    @property
    def is_over(self) -> bool:
        """Whether a stop text or a filter has ended it."""
        return self._ended is not None

    def replay(self, resume: Resume) -> bool:
        """Go through what an earlier attempt wrote; false where its ids do not make what it showed."""
        self.usage.completion_tokens = len(resume.ids)
        shown, written = self._answer(resume), ""
        for index in resume.ids:
            if not self._ended:
                written += self._write(Token(index), [], is_new=False)
        self._due, self._shown = written[len(shown) :], shown[len(written) :]
        return written.startswith(shown) or shown.startswith(written)

    def reread(self, resume: Resume) -> str:
        """What an earlier attempt showed, for the model to read behind the prompt: what follows is new."""
        self.usage.completion_tokens = max(resume.completion_tokens, len(resume.ids))
        shown = self._answer(resume)
        self._filter = FilteredText(self._filters, self._request.prompt.text + shown)
        self.filtered = self._filter.counts
        self._offset += len(shown)
        return shown

    def begin(self, generation: Generation) -> None:
        """What an engine writes from now on."""
        generation.together_s = 0.0 if self._request.sampling.stop else TOGETHER_S
        self._generation = generation

    def cancel(self) -> None:
        """See `TextGeneration`."""
        self._generation.cancel()

    def __aiter__(self) -> Writing:
        return self

    async def __anext__(self) -> TextDelta:
        """The next part of the answer; none is empty but the last."""
        if self._is_first and self._echoes and not self._tells and not self._offset:
            self._offset = len(self._request.prompt.text)
            if self._offset:
                return TextDelta(self._request.prompt.text)
        if self._due:
            due, self._due = self._due, ""
            return TextDelta(due)
        while True:
            delta = self._take(await anext(self._generation))
            if delta.text or delta.tokens or delta.finish:
                return delta

    def _take(self, event: TokenEvent) -> TextDelta:
        text, tokens = "", list[TextToken]()
        if self._is_first:
            self._is_first = False
            self.usage.cached_tokens = min(event.cached_tokens, self.usage.prompt_tokens)
            if self._echoes and self._tells:
                text, tokens = self._echo(event.prompt)
        self.usage.completion_tokens += len(event.tokens)
        parts = [text]
        for token in event.tokens:
            if self._ended:
                break
            parts.append(self._write(token, tokens))
        if event.finish is None:
            return self._delta("".join(parts), tokens)
        if self._ended is None:
            parts.append(self._leave(self._filter.push(self._stops.flush()), tokens))
        if self._ended != "content_filter":
            parts.append(self._leave(self._filter.flush(), tokens))
        finish = "content_filter" if self._filter.stopped else self._ended or event.finish
        if self._ended is None and not self._filter.stopped:  # of a character that was cut off, for example
            tokens += [self._pieces.token(token, self._offset) for token, _, _ in self._tokens]
            self._ids += [token.id for token, _, _ in self._tokens]
        if self._tells and finish == "stop" and not self._stops.stopped:
            tokens.append(self._pieces.token(Token(self._closing), self._offset))
        return self._delta("".join(parts), tokens, finish)

    def _delta(self, text: str, tokens: list[TextToken], finish: TextFinish | None = None) -> TextDelta:
        """What may leave of this event, with the ids of all that came since the last that left."""
        if not (text or tokens or finish):
            return TextDelta()
        ids, self._ids = tuple(self._ids), []
        return TextDelta(text, tuple(tokens), finish, ids)

    def _write(self, token: Token, told: list[TextToken], *, is_new: bool = True) -> str:
        """What may be shown once the token is written."""
        characters = self._characters.push(self._pieces.piece(token.id))
        if is_new and self._tells:
            self._tokens.append((token, self._written, self._written + len(characters)))
        elif is_new:
            self._ids.append(token.id)
        self._written += len(characters)
        shown = self._leave(self._filter.push(self._stops.push(characters)), told)
        if self._stops.stopped or self._filter.stopped:
            self._ended = "content_filter" if self._filter.stopped else "stop"
            self._generation.cancel()
        return shown

    def _leave(self, segments: Sequence[Segment], told: list[TextToken]) -> str:
        """The text of segments; their tokens are appended to `told`."""
        for segment in segments:
            end = self._left + segment.characters
            while self._tokens and self._tokens[0][1] < end and self._tokens[0][2] <= end:
                token, start, _ = self._tokens.popleft()
                self._ids.append(token.id)
                if not segment.masked and start >= self._left:
                    told.append(self._pieces.token(token, self._offset + start - self._left))
            self._left = end
            self._offset += len(segment.text)
        text = "".join(segment.text for segment in segments)
        known, self._shown = self._shown[: len(text)], self._shown[len(text) :]
        if not text.startswith(known):
            raise EngineFailed("the answer goes on otherwise than it was begun elsewhere")
        return text[len(known) :]

    @property
    def _echoes(self) -> bool:
        return self._request.echo and self._request.resume is None

    def _answer(self, resume: Resume) -> str:
        """What an earlier attempt showed, without the prompt."""
        self._offset = len(self._request.prompt.text) if self._request.echo else 0
        return resume.text[self._offset :]

    def _echo(self, prompt: Sequence[Token]) -> tuple[str, list[TextToken]]:
        """The prompt and its tokens; what its bytes before each complete is the token's place."""
        characters, tokens = CharacterStream(), list[TextToken]()
        opening = self._request.prompt.opening
        if opening is not None:
            tokens.append(self._pieces.token(Token(opening), 0))
        place = 0
        for token in prompt:
            tokens.append(self._pieces.token(token, place))
            place += len(characters.push(self._pieces.piece(token.id)))
        self._offset = len(self._request.prompt.text)
        return self._request.prompt.text, tokens
